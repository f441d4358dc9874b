use super::*;
use crate::sink::SendErrorKind;
use crate::sink::testing::{Answer as Reply, SETTINGS, Server, config, fate};

fn sink(text: &str) -> anyhow::Result<Box<dyn Sink>> {
    Ok(build(&config(text)?, SETTINGS)?)
}

fn to(server: &Server, more: &str) -> Box<dyn Sink> {
    sink(&format!("endpoint: {}/hook\n{more}", server.url)).unwrap()
}

#[tokio::test]
async fn a_message_is_what_the_incumbent_makes_of_an_event() {
    for (layout, body) in [
        (
            "",
            r#"{"summary":"event","text":"Event: \u003ca\u003e \u0026 co \nStatus: BackOff \nMetadata: map[creationTimestamp: name:a namespace:shop]"}"#,
        ),
        (
            "layout: {message: \"{{ .Name }}\", metadata: [1, x], other: y}",
            r#"{"summary":"event","text":"Event: a \nStatus:  \nMetadata: [1 x]"}"#,
        ),
        ("layout: {text: \"{{ .Name }}\"}", r#"{"text":"a"}"#),
        (
            "layout: {type: message, attachments: []}",
            r#"{"attachments":[],"type":"message"}"#,
        ),
    ] {
        let server = Server::start(vec![]).await;
        let sink = to(
            &server,
            &format!("{layout}\nheaders: {{X: \"{{{{ .Name }}}}\"}}"),
        );
        let (rejected, receipt) = fate(&*sink, "a").await;
        assert_eq!((rejected, receipt.retry), (vec![], vec![]));
        let request = server.requests().remove(0);
        assert_eq!(request.line, "POST /hook");
        assert_eq!(request.body, body);
        for header in ["content-type:application/json", "x:a"] {
            assert!(
                request.headers.contains(&header.to_owned()),
                "{:?}",
                request.headers
            );
        }
    }
}

#[tokio::test]
async fn what_stands_behind_a_200_decides() {
    use SendErrorKind::{Denied, Transient};
    let behind = |status: u16| {
        format!(
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error {status} with ContextId tcid=0"
        )
    };
    for (status, body, fate_of_it) in [
        (200, "1".to_owned(), Ok(None)),
        (202, String::new(), Ok(None)),
        (200, behind(429), Ok(Some(Transient))),
        (200, behind(502), Ok(Some(Transient))),
        (200, behind(403), Ok(Some(Denied))),
        (200, behind(413), Err(())),
        (200, behind(400), Err(())),
        (429, String::new(), Ok(Some(Transient))),
        (404, String::new(), Err(())),
    ] {
        let server = Server::start(vec![Reply::Status(status, "", body.clone())]).await;
        let (rejected, receipt) = fate(&*to(&server, ""), "a").await;
        let cause = receipt.retry_cause.map(|cause| cause.kind);
        let got = if rejected.is_empty() {
            Ok(cause)
        } else {
            Err(())
        };
        assert_eq!(got, fate_of_it, "{status} {body}");
    }
}

#[test]
fn what_cannot_work_is_refused_at_load() {
    for (text, message) in [
        ("{}", "Teams needs the URL of a webhook under `endpoint`"),
        (
            "endpoint: nowhere",
            "1:11: endpoint: the endpoint is no URL",
        ),
        (
            "endpoint: http://x\nlayout: {text: \"{{ nmae }}\"}",
            "2:19: layout.text: ",
        ),
        (
            "endpoint: http://x\nheaders: {\"a b\": c}",
            "is no legal name of a header",
        ),
    ] {
        let error = format!("{:#}", sink(text).err().unwrap());
        assert!(error.contains(message), "{text}: {error}");
    }
    let config: TeamsConfig = config("endpoint: http://x/hunter2").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}
