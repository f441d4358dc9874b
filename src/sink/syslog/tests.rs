use jiff::tz::Offset;
use tokio::io::{AsyncReadExt as _, DuplexStream};
use tokio::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener};
use tokio::time::sleep;

use super::*;
use crate::event::Time;
use crate::sink::SendErrorKind;
use crate::sink::testing::{SETTINGS, config, event, events};

fn sink(text: &str) -> Syslog {
    let text = format!("{text}\ntag: events\nlayout: {{n: \"{{{{ .Name }}}}\"}}");
    let mut sink = Syslog::new(&config(&text).unwrap(), SETTINGS).unwrap();
    sink.sender = Sender {
        host: "node-1".into(),
        pid: 7,
        zone: TimeZone::fixed(Offset::constant(2)),
        ..sink.sender
    };
    sink
}

/// As it goes over a network.
fn line(name: char) -> String {
    format!("<132>2024-05-01T10:20:30Z node-1 events[7]: {{\"n\":\"{name}\"}}\n")
}

/// As it goes to a daemon on this machine.
fn local_line(name: char) -> String {
    format!("<132>May  1 12:20:30 events[7]: {{\"n\":\"{name}\"}}\n")
}

async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin), length: usize) -> String {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

fn large(name: char) -> Arc<Event> {
    let mut event = event(name);
    event.metadata.name = "x".repeat(1 << 20);
    Arc::new(event)
}

#[tokio::test]
async fn a_datagram_is_an_event_with_its_severity() {
    let daemon = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = daemon.local_addr().unwrap();
    let sink = sink(&format!("network: udp\naddress: {address}"));
    let mut normal = event('b');
    normal.kind = "Normal".into();
    let batch = [Arc::new(event('a')), large('x'), Arc::new(normal)];
    let receipt = sink.send(&batch).await.unwrap();
    assert_eq!(receipt.retry_cause, None);
    assert_eq!(receipt.rejected.len(), 1);
    let rejection = &receipt.rejected[0];
    assert_eq!(rejection.index, 1);
    assert_eq!(rejection.reason, "too long for a datagram: 1048629 bytes");
    let mut buffer = [0; 1024];
    for expected in [line('a'), line('b').replace("<132>", "<134>")] {
        let length = daemon.recv(&mut buffer).await.unwrap();
        assert_eq!(str::from_utf8(&buffer[..length]).unwrap(), expected);
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_an_outage() {
    let daemon = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = daemon.local_addr().unwrap();
    let sink = sink(&format!("network: udp\naddress: {address}"));
    drop(daemon);
    for batch in [vec![large('x'), Arc::new(event('a'))], events("abc")] {
        let receipt = sink.send(&batch).await.unwrap();
        let rejected = receipt.rejected.len();
        let all: Vec<usize> = (rejected..batch.len()).collect();
        assert_eq!(receipt.retry, all);
        let cause = receipt.retry_cause.unwrap();
        assert_eq!(cause.kind, SendErrorKind::Transient);
        assert!(cause.reason.contains("refused"), "{cause}");
    }
    let daemon = UdpSocket::bind(address).await.unwrap();
    assert_eq!(sink.send(&events("a")).await.unwrap(), Receipt::default());
    let mut buffer = [0; 1024];
    let length = daemon.recv(&mut buffer).await.unwrap();
    assert_eq!(str::from_utf8(&buffer[..length]).unwrap(), line('a'));
}

#[tokio::test]
async fn a_stream_is_a_line_an_event_and_begins_anew_when_it_ends() {
    let daemon = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = daemon.local_addr().unwrap();
    let sink = sink(&format!("network: tcp\naddress: {address}"));
    assert_eq!(sink.send(&events("ab")).await.unwrap(), Receipt::default());
    let (mut stream, _) = daemon.accept().await.unwrap();
    let expected = line('a') + &line('b');
    assert_eq!(read(&mut stream, expected.len()).await, expected);
    sink.send(&events("c")).await.unwrap();
    assert_eq!(read(&mut stream, line('c').len()).await, line('c'));

    // A write into a connection whose other end is gone would succeed, and be lost.
    drop(stream);
    let error = sink.send(&events("d")).await.unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Transient);
    sink.send(&events("d")).await.unwrap();
    let (mut stream, _) = daemon.accept().await.unwrap();
    assert_eq!(read(&mut stream, line('d').len()).await, line('d'));

    drop((stream, daemon));
    for _ in 0..2 {
        let error = sink.send(&events("e")).await.unwrap_err();
        assert_eq!(error.kind, SendErrorKind::Transient);
        assert!(
            error
                .reason
                .starts_with(&format!("cannot send to {address}: ")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_daemon_on_this_machine_gets_its_own_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let datagrams = sink(&format!("network: unixgram\naddress: {}", path.display()));
    let error = datagrams.send(&events("a")).await.unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Transient, "there is none yet");
    let daemon = UnixDatagram::bind(&path).unwrap();
    let receipt = datagrams
        .send(&[Arc::new(event('a')), large('x')])
        .await
        .unwrap();
    let mut buffer = [0; 1024];
    let length = daemon.recv(&mut buffer).await.unwrap();
    assert_eq!(str::from_utf8(&buffer[..length]).unwrap(), local_line('a'));
    assert_eq!((receipt.rejected.len(), receipt.retry.len()), (1, 0));
    drop(daemon);
    std::fs::remove_file(&path).unwrap();
    let receipt = datagrams.send(&events("bc")).await.unwrap();
    assert_eq!(receipt.retry, [0, 1], "it is gone");
    let daemon = UnixDatagram::bind(&path).unwrap();
    let receipt = datagrams.send(&events("b")).await.unwrap();
    assert_eq!(receipt, Receipt::default(), "another one is there");
    let length = daemon.recv(&mut buffer).await.unwrap();
    assert_eq!(str::from_utf8(&buffer[..length]).unwrap(), local_line('b'));
    drop(daemon);
    std::fs::remove_file(&path).unwrap();

    let daemon = UnixListener::bind(&path).unwrap();
    let stream = sink(&format!("network: unix\naddress: {}", path.display()));
    stream.send(&events("bc")).await.unwrap();
    let (mut connection, _) = daemon.accept().await.unwrap();
    let expected = local_line('b') + &local_line('c');
    assert_eq!(read(&mut connection, expected.len()).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_reads_nothing_does_not_hold_the_batch_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let _daemon = UnixListener::bind(&path).unwrap();
    let sink = sink(&format!("network: unix\naddress: {}", path.display()));
    let error = sink.send(&[large('x'), large('y')]).await.unwrap_err();
    assert!(error.reason.ends_with("timed out"), "{error}");
}

impl connection::Stream for DuplexStream {}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_reads_slowly_gets_every_line_and_one_that_stops_is_left() {
    let lines = vec![b'x'; 1 << 20];
    let patience = Duration::from_millis(300);
    for (pause, gets_all) in [(200, true), (400, false)] {
        let (mut ours, mut theirs) = tokio::io::duplex(64 << 10);
        let read = async {
            let (mut read, mut chunk) = (0, vec![0; 64 << 10]);
            loop {
                sleep(Duration::from_millis(pause)).await;
                match theirs.read(&mut chunk).await.unwrap() {
                    0 => return read,
                    more => read += more,
                }
            }
        };
        let written = async {
            let written = write(&mut ours, &lines, patience).await;
            drop(ours);
            written
        };
        let (written, read) = tokio::join!(written, read);
        assert_eq!((written.is_ok(), read == lines.len()), (gets_all, gets_all));
    }
}

#[test]
fn a_time_before_the_tenth_has_a_space() {
    let mut event = event('a');
    event.last_timestamp = Time::parse("2024-12-31T23:20:30.999Z");
    let sender = Sender {
        host: "h".into(),
        tag: "t".into(),
        pid: 1,
        zone: TimeZone::fixed(Offset::constant(1)),
    };
    let mut head = Vec::new();
    sender.append_head(&event, true, &mut head).unwrap();
    assert_eq!(
        str::from_utf8(&head).unwrap(),
        "<132>Jan  1 00:20:30 t[1]: "
    );
}

#[test]
fn what_cannot_work_is_refused_at_load() {
    for (text, message) in [
        (
            "network: sctp\naddress: x:1",
            "1:10: network: `sctp` is no network: give one of udp, tcp,",
        ),
        (
            "network: udp",
            "1:10: network: a `network` needs an `address`",
        ),
        (
            "address: x:1",
            "1:10: address: an `address` needs a `network`",
        ),
        (
            "network: udp\naddress: syslog",
            "2:10: address: write HOST:PORT",
        ),
        (
            "network: tcp\naddress: syslog:port",
            "2:10: address: write HOST:PORT",
        ),
        ("tag: a b", "1:6: tag: a tag is one word"),
    ] {
        let error = Syslog::new(&config(text).unwrap(), SETTINGS)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
    let parsed = |text: &str| {
        let config: SyslogConfig = config(text).unwrap();
        Address::parse(&config.network, &config.address).unwrap()
    };
    assert_eq!(parsed("tag: x"), Address::Local);
    assert_eq!(
        parsed("network: tcp\naddress: \":514\""),
        Address::Tcp("localhost:514".into())
    );
}
