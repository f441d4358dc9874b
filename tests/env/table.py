#!/usr/bin/env python3
"""Shows the events in an answer of OpenSearch's search, read from standard input.

usage: table.py table      time, type, reason, object and message, oldest first, as wide as the terminal
       table.py reasons    "REASON OBJECT" of each, for scripts
"""
import json
import shutil
import sys
import unicodedata


def clean(text):
    """An event's text comes from anywhere: nothing in it may steer the terminal."""
    return "".join(
        c if unicodedata.category(c)[0] != "C" else c.encode("unicode_escape").decode()
        for c in str(text or "")
    )


def main():
    events = [hit["_source"] for hit in json.load(sys.stdin)["hits"]["hits"]]
    if sys.argv[1:] == ["reasons"]:
        for event in events:
            print(clean(event.get("reason")), clean(event["involvedObject"].get("name")))
        return
    rows = sorted(
        (
            clean(event.get("lastTimestamp") or event.get("@timestamp"))[:19],
            clean(event.get("type")),
            clean(event.get("reason")),
            clean("{kind}/{name}".format(**{"kind": "", "name": "", **event["involvedObject"]})),
            clean(event.get("message")),
        )
        for event in events
    )
    head = ("TIME", "TYPE", "REASON", "OBJECT", "MESSAGE")
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(4)]
    width = shutil.get_terminal_size((160, 24)).columns
    for row in [head, *rows]:
        line = "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths)), row[4]])
        print(line if len(line) <= width else line[: width - 1] + "…")


if __name__ == "__main__":
    main()
