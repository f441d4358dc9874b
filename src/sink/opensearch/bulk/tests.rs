use super::*;

fn line(action: Action<'_>) -> String {
    let mut line = Vec::new();
    Operation {
        action,
        index: "kube-events",
    }
    .append(&mut line)
    .unwrap();
    String::from_utf8(line).unwrap()
}

#[test]
fn operations_name_index_id_and_version() {
    assert_eq!(
        line(Action::Create { id: None }),
        r#"{"create":{"_index":"kube-events"}}"#
    );
    assert_eq!(
        line(Action::Create {
            id: Some(("u-1", "42"))
        }),
        r#"{"create":{"_index":"kube-events","_id":"u-1-42"}}"#
    );
    assert_eq!(
        line(Action::Latest {
            uid: "u-1",
            version: Some(42)
        }),
        r#"{"index":{"_index":"kube-events","_id":"u-1","version":42,"version_type":"external"}}"#
    );
    assert_eq!(
        line(Action::Latest {
            uid: "u-1",
            version: None
        }),
        r#"{"index":{"_index":"kube-events","_id":"u-1"}}"#
    );
}

#[test]
fn a_hostile_id_stays_inside_its_line() {
    let id = Action::Create {
        id: Some(("a\"}}\n{\"delete\":{}}", "\n1")),
    };
    assert_eq!(
        line(id),
        "{\"create\":{\"_index\":\"kube-events\",\"_id\":\"a\\\"}}\\n{\\\"delete\\\":{}}-\\n1\"}}"
    );
}

/// What OpenSearch 2.19 and 3.8 answer to each item, and what it means.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_known_answer_to_an_item_has_its_fate() {
    let taken = [(200, "", ""), (201, "", ""), (200, "", "noop")];
    let before = [(
        409,
        "version_conflict_engine_exception",
        "[1]: version conflict, document already exists",
    )];
    let again = [
        (
            429,
            "rejected_execution_exception",
            "rejected execution of ...",
        ),
        (
            429,
            "cluster_block_exception",
            "index [i] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark",
        ),
        (
            503,
            "unavailable_shards_exception",
            "[i][0] primary shard is not active Timeout: [1s]",
        ),
        (
            500,
            "process_cluster_event_timeout_exception",
            "failed to process cluster event",
        ),
    ];
    let slowly = [
        (
            403,
            "cluster_block_exception",
            "index [i] blocked by: [FORBIDDEN/8/index write (api)];",
        ),
        (
            403,
            "security_exception",
            "no permissions for [indices:data/write/bulk[s]]",
        ),
        (404, "index_not_found_exception", "no such index [i]"),
        (400, "index_closed_exception", "closed"),
        (
            400,
            "validation_exception",
            "Validation Failed: 1: this action would add [2] total shards, but this cluster currently has [5]/[1] maximum shards open;",
        ),
        (
            400,
            "illegal_argument_exception",
            "no write index is defined for alias [a].",
        ),
        (
            400,
            "illegal_argument_exception",
            "pipeline with id [missing] does not exist",
        ),
        (
            400,
            "illegal_argument_exception",
            "only write ops with an op_type of create are allowed in data streams",
        ),
        (
            400,
            "mapper_parsing_exception",
            "documents must contain a single-valued timestamp field '@timestamp' of date type",
        ),
        // Of Amazon's time-series collections.
        (
            400,
            "illegal_argument_exception",
            "Document ID is not supported in create/index operation request",
        ),
    ];
    let never = [
        (
            400,
            "mapper_parsing_exception",
            "failed to parse field [n] of type [integer]",
        ),
        (
            400,
            "illegal_argument_exception",
            "Limit of total fields [5] has been exceeded",
        ),
        (
            400,
            "strict_dynamic_mapping_exception",
            "mapping set to strict",
        ),
        (
            400,
            "illegal_argument_exception",
            "Document contains at least one immense term in field=\"k\"",
        ),
        (
            400,
            "invalid_index_name_exception",
            "Invalid index name [UPPER], must be lowercase",
        ),
        (
            400,
            "mapper_parsing_exception",
            "failed to parse field [metadata.annotations.x] of type [date] in document with id 'u-1'. Preview of field's value: 'pipeline with id ['",
        ),
        (500, "fail_processor_exception", "boom 1"),
    ];
    let outcome = |(status, kind, reason): (u16, &str, &str)| {
        let error = serde_json::json!({"type": kind, "reason": reason});
        let item = if status < 300 {
            serde_json::json!({"status": status})
        } else {
            serde_json::json!({"status": status, "error": error})
        };
        let answer = serde_json::json!({"errors": status >= 300, "items": [{"index": item}]});
        read(answer.to_string().as_bytes(), 1).unwrap()
    };
    for case in taken {
        assert_eq!(outcome(case), Outcome::default(), "{case:?}");
    }
    for case in before {
        assert_eq!(
            outcome(case),
            Outcome {
                duplicates: 1,
                ..Outcome::default()
            },
            "{case:?}"
        );
    }
    for (cases, kind) in [
        (again.as_slice(), SendErrorKind::Transient),
        (slowly.as_slice(), SendErrorKind::Denied),
    ] {
        for &case in cases {
            let outcome = outcome(case);
            assert_eq!(
                (outcome.retry, outcome.rejected.len()),
                (vec![0], 0),
                "{case:?}"
            );
            assert_eq!(outcome.retry_cause.unwrap().kind, kind, "{case:?}");
        }
    }
    for case in never {
        let outcome = outcome(case);
        assert_eq!(
            (outcome.retry.len(), outcome.rejected.len()),
            (0, 1),
            "{case:?}"
        );
        assert!(outcome.rejected[0].reason.contains(case.1), "{case:?}");
    }
}

#[test]
fn only_what_was_not_taken_is_named() {
    let answer = br#"{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":429,"error":{"type":"t","reason":"busy"}}},
        {"create":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"bad","caused_by":{"type":"x","reason":"For input string: \"a\""}}}},
        {"create":{"status":403,"error":{"type":"cluster_block_exception","reason":"blocked"}}},{"create":{"status":409}}]}"#;
    let outcome = read(answer, 5).unwrap();
    assert_eq!(outcome.retry, [1, 3]);
    assert_eq!(
        outcome.retry_cause.unwrap().kind,
        SendErrorKind::Denied,
        "the slower of the two"
    );
    assert_eq!(outcome.rejected[0].index, 2);
    assert_eq!(
        outcome.rejected[0].reason,
        "HTTP 400: mapper_parsing_exception: bad For input string: \"a\""
    );
    assert_eq!(outcome.duplicates, 1);
}

#[test]
fn an_error_that_is_a_text_concerns_its_item_alone() {
    let answer =
        br#"{"items":[{"create":{"status":201}},{"create":{"status":400,"error":"boom"}}]}"#;
    let outcome = read(answer, 2).unwrap();
    assert_eq!(outcome.retry, [0_usize; 0]);
    assert_eq!(outcome.rejected[0].index, 1);
    assert_eq!(outcome.rejected[0].reason, "HTTP 400: : boom");
}

#[test]
fn fault_05_an_answer_of_another_length_settles_nothing() {
    for answer in [
        r#"{"errors":false,"items":[{"create":{"status":201}}]}"#,
        r#"{"errors":false}"#,
        "{}",
        "<html>",
        "",
        "[]",
    ] {
        let error = read(answer.as_bytes(), 2).unwrap_err();
        assert_eq!(error.kind, SendErrorKind::Transient, "{answer}");
    }
}

proptest::proptest! {
    #[test]
    fn no_answer_is_too_odd(answer in "\\PC*", sent in 0_usize..3) {
        let _ = read(answer.as_bytes(), sent);
    }
}
