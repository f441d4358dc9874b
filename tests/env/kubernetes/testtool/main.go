// Package main is the only program in the images of the test node, which can pull none: the pods' sandbox
// ("pause"), and as much of busybox as deploy/samples uses. The name it is called by chooses.
package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	var err error
	switch name {
	case "pause":
		pause()
	case "sleep":
		err = sleep(args)
	case "cat":
		err = cat(args)
	case "tail":
		err = tail(args)
	case "touch":
		err = touch(args)
	case "dd":
		err = dd(args)
	default:
		err = fmt.Errorf("applet not found")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// pause waits for a signal to end and reaps, as the first process of a pid namespace has to.
func pause() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

// sleep SECONDS, or until told to end. (As the first process of a container, busybox's would not listen.)
func sleep(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("one number of seconds, please")
	}
	seconds, err := strconv.ParseFloat(args[0], 64)
	if err != nil {
		return err
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	select {
	case <-time.After(time.Duration(seconds * float64(time.Second))):
	case <-end:
	}
	return nil
}

// cat FILE...
func cat(args []string) error {
	for _, path := range args {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("can't open '%s': No such file or directory", path)
		}
		_, err = io.Copy(os.Stdout, f)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// tail -f FILE, of which nothing is expected to follow
func tail(args []string) error {
	if len(args) != 2 || args[0] != "-f" {
		return fmt.Errorf("only -f FILE")
	}
	if err := cat(args[1:]); err != nil {
		return err
	}
	return sleep([]string{"1e9"})
}

// touch FILE, to make it
func touch(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("one file, please")
	}
	f, err := os.OpenFile(args[0], os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// dd if=/dev/zero of=FILE bs=1M count=N
func dd(args []string) error {
	var in, out string
	var count int
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		switch {
		case key == "if":
			in = value
		case key == "of":
			out = value
		case key == "count":
			count, _ = strconv.Atoi(value)
		case arg != "bs=1M":
			return fmt.Errorf("unknown operand %s", arg)
		}
	}
	source, err := os.Open(in)
	if err != nil {
		return err
	}
	target, err := os.Create(out)
	if err != nil {
		return err
	}
	if _, err = io.CopyN(target, source, int64(count)<<20); err != nil {
		return err
	}
	return target.Close()
}
