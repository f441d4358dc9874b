use std::sync::Mutex as Shared;

use futures::FutureExt as _;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::advance;

use super::*;

/// An API server with one Lease, which keeps to preconditions.
#[derive(Clone, Default)]
struct Server(Arc<Shared<Kept>>);

#[derive(Default)]
struct Kept {
    lease: Option<Value>,
    version: u64,
    /// Answers nothing but this.
    down: Option<u16>,
    /// Does not answer at all.
    hangs: bool,
    /// Does what it is asked to, and does not answer.
    is_mute: bool,
    writes: u32,
    read_only: bool,
    /// How many writes come second.
    conflicts: u32,
}

impl Server {
    fn lease(&self, identity: &str) -> Lease {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                if server.0.lock().unwrap().hangs {
                    std::future::pending::<()>().await;
                }
                let method = request.method().clone();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let (status, body) = server.answer(&method, &body);
                if server.0.lock().unwrap().is_mute && method != Method::GET {
                    server.0.lock().unwrap().is_mute = false;
                    std::future::pending::<()>().await;
                }
                let body = Body::from(serde_json::to_vec(&body).unwrap());
                Ok::<_, http::Error>(Response::builder().status(status).body(body).unwrap())
            }
        });
        let config = LeaseConfig {
            namespace: "monitoring".to_owned(),
            name: "exporter".to_owned(),
            identity: identity.to_owned(),
        };
        Lease::new(Client::new(service, "default"), config)
    }

    fn answer(&self, method: &Method, body: &[u8]) -> (u16, Value) {
        let mut kept = self.0.lock().unwrap();
        let status = |code: u16, reason: &str| {
            (
                code,
                json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason}),
            )
        };
        if let Some(code) = kept.down {
            return status(code, "Down");
        }
        if method == Method::GET {
            return kept
                .lease
                .clone()
                .map_or_else(|| status(404, "NotFound"), |lease| (200, lease));
        }
        if kept.read_only {
            return status(403, "Forbidden");
        }
        let mut lease: Value = serde_json::from_slice(body).unwrap();
        let known = kept
            .lease
            .as_ref()
            .map(|lease| &lease["metadata"]["resourceVersion"]);
        if known.is_some_and(|known| *known != lease["metadata"]["resourceVersion"])
            || (method == Method::POST) == known.is_some()
        {
            return status(409, "Conflict");
        }
        if kept.conflicts > 0 {
            kept.conflicts -= 1;
            return status(409, "Conflict");
        }
        kept.version += 1;
        kept.writes += 1;
        lease["metadata"]["resourceVersion"] = kept.version.to_string().into();
        kept.lease = Some(lease.clone());
        (200, lease)
    }

    fn down(&self, code: Option<u16>) {
        self.0.lock().unwrap().down = code;
    }

    fn holder(&self) -> String {
        let kept = self.0.lock().unwrap();
        kept.lease.as_ref().unwrap()["spec"]["holderIdentity"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn writes(&self) -> u32 {
        self.0.lock().unwrap().writes
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_gets_it_and_the_second_when_it_is_given_back() {
    let server = Server::default();
    let (first, second) = (server.lease("first"), server.lease("second"));
    assert_eq!(first.acquire().await, None);
    first.save("marks").await.unwrap();
    let mut waiting = Box::pin(second.acquire());
    let mut holding = Box::pin(first.hold());
    for _ in 0..600 {
        advance(Duration::from_millis(100)).await;
        assert!((&mut waiting).now_or_never().is_none(), "it is renewed");
        assert!((&mut holding).now_or_never().is_none());
    }
    drop(holding);
    first.release().await.unwrap();
    let start = Instant::now();
    assert_eq!(waiting.await.unwrap(), "marks", "with the checkpoint in it");
    assert!(start.elapsed() <= LOOK, "{:?}", start.elapsed());
    assert_eq!(server.holder(), "second");
}

#[tokio::test(start_paused = true)]
async fn fault_31_32_one_that_dies_is_followed_when_its_time_is_over_and_not_before() {
    let server = Server::default();
    let (first, second) = (server.lease("first"), server.lease("second"));
    first.acquire().await;
    first.save("marks").await.unwrap();
    // Its clock is wrong by years, which does not matter.
    server.0.lock().unwrap().lease.as_mut().unwrap()["spec"]["renewTime"] =
        "2001-01-01T00:00:00.000000Z".into();
    let start = Instant::now();
    assert_eq!(second.acquire().await.unwrap(), "marks");
    assert!(
        start.elapsed() >= DURATION && start.elapsed() <= DURATION + LOOK,
        "{:?}",
        start.elapsed()
    );
    // The first comes to, as after a pause of its whole machine.
    assert!(
        matches!(first.save("stale").await, Err(LeaseError::Lost(holder)) if holder == "second")
    );
    assert!(matches!(first.hold().await, LeaseError::Lost(_)));
    assert!(matches!(first.release().await, Err(LeaseError::Lost(_))));
    assert_eq!(second.state.lock().await.checkpoint().unwrap(), "marks");
    assert_eq!(server.holder(), "second");
}

#[tokio::test(start_paused = true)]
async fn fault_34_the_holder_steps_back_before_others_take_over_when_it_cannot_renew() {
    let server = Server::default();
    let (first, second) = (server.lease("first"), server.lease("second"));
    first.acquire().await;
    let start = Instant::now();
    let mut waiting = Box::pin(second.acquire());
    assert!((&mut waiting).now_or_never().is_none());
    server.down(Some(500));
    let (lost, at) = async { (first.hold().await, start.elapsed()) }.await;
    assert!(matches!(lost, LeaseError::Api(_)), "{lost}");
    assert!(at <= DEADLINE && at + RENEW >= DEADLINE, "{at:?}");
    server.down(None);
    waiting.await;
    assert!(start.elapsed() >= DURATION, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn fault_34_the_holder_steps_back_in_time_even_if_a_checkpoint_is_being_written() {
    let server = Server::default();
    let first = server.lease("first");
    first.acquire().await;
    first.save("marks").await.unwrap();
    let start = Instant::now();
    server.0.lock().unwrap().hangs = true;
    let saving = async {
        loop {
            assert!(first.save("more").await.is_err());
        }
    };
    let lost = tokio::select! {
        lost = first.hold() => lost,
        never = saving => never,
    };
    assert!(matches!(lost, LeaseError::Late), "{lost}");
    let at = start.elapsed();
    assert!(at <= DEADLINE && at + RENEW >= DEADLINE, "{at:?}");
    // What was under way when it stepped back is not believed.
    server.0.lock().unwrap().hangs = false;
    server.lease("second").take().await;
    assert!(matches!(
        first.save("stale").await,
        Err(LeaseError::Lost(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn fault_34_who_leads_again_goes_on_where_it_was_and_another_where_that_was_written() {
    for by_another in [false, true] {
        let server = Server::default();
        let first = server.lease("first");
        first.acquire().await;
        first.save("marks").await.unwrap();
        server.down(Some(500));
        first.save("more").await.unwrap_err();
        first.hold().await;
        server.down(None);
        if by_another {
            let second = server.lease("second");
            assert_eq!(second.acquire().await.unwrap(), "marks");
            second.save("later").await.unwrap();
            second.release().await.unwrap();
            // That it is the first's again is what is not heard at first.
            server.0.lock().unwrap().is_mute = true;
        }
        let expected = if by_another { "later" } else { "more" };
        assert_eq!(first.acquire().await.unwrap(), expected);
        first.save("newer").await.unwrap();
        assert_eq!(first.acquire().await.unwrap(), "newer");
    }
}

#[tokio::test(start_paused = true)]
async fn fault_34_a_short_outage_costs_nothing() {
    let server = Server::default();
    let first = server.lease("first");
    server.down(Some(503));
    let mut waiting = Box::pin(first.acquire());
    for _ in 0..5 {
        advance(LOOK).await;
        assert!((&mut waiting).now_or_never().is_none());
    }
    server.down(None);
    waiting.await;
    let mut holding = Box::pin(first.hold());
    server.down(Some(500));
    for _ in 0..60 {
        advance(RENEW / 20).await;
        assert!((&mut holding).now_or_never().is_none());
    }
    server.down(None);
    for _ in 0..600 {
        advance(RENEW / 20).await;
        assert!((&mut holding).now_or_never().is_none(), "it goes on");
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_who_touches_other_parts_of_it_is_no_conflict() {
    let server = Server::default();
    let first = server.lease("first");
    first.acquire().await;
    {
        let mut kept = server.0.lock().unwrap();
        kept.version += 1;
        let version = kept.version.to_string();
        let lease = kept.lease.as_mut().unwrap();
        lease["metadata"]["resourceVersion"] = version.into();
        lease["metadata"]["labels"] = json!({"touched": "yes"});
    }
    first.save("marks").await.unwrap();
    let kept = server.0.lock().unwrap();
    let metadata = &kept.lease.as_ref().unwrap()["metadata"];
    assert_eq!(metadata["labels"]["touched"], "yes");
    assert_eq!(metadata["annotations"][CHECKPOINT], "marks");
}

#[tokio::test(start_paused = true)]
async fn where_there_is_one_process_it_does_not_wait_for_its_predecessor() {
    let server = Server::default();
    server.lease("killed").acquire().await;
    let next = server.lease("next");
    let start = Instant::now();
    assert_eq!(next.take().await, None);
    assert_eq!(start.elapsed(), Duration::ZERO);
    next.save("marks").await.unwrap();
    assert_eq!(server.lease("third").take().await.unwrap(), "marks");
    // It can be read and not written, which costs nothing yet.
    server.0.lock().unwrap().read_only = true;
    let reader = server.lease("reader");
    assert_eq!(reader.take().await.unwrap(), "marks");
    assert!(matches!(reader.save("m").await, Err(LeaseError::Api(_))));
    // Somebody gives it the right.
    server.0.lock().unwrap().read_only = false;
    reader.save("marks").await.unwrap();
    assert_eq!(server.holder(), "reader");
    // The one before wrote once more, between our reading and our writing.
    server.0.lock().unwrap().conflicts = 1;
    let after = server.lease("after");
    assert_eq!(after.take().await.unwrap(), "marks");
    after.save("more marks").await.unwrap();
    after.save("marks").await.unwrap();
    // The API server comes later than we do.
    server.down(Some(503));
    let late = server.lease("late");
    let mut taking = Box::pin(late.take());
    for _ in 0..100 {
        advance(LOOK).await;
        assert!((&mut taking).now_or_never().is_none());
    }
    server.down(None);
    assert_eq!(taking.await.unwrap(), "marks");
    // Nobody may use it: the program goes on without.
    server.down(Some(403));
    assert_eq!(server.lease("fourth").take().await, None);
    let writes = server.writes();
    let large = "x".repeat(MAX_CHECKPOINT + 1);
    assert!(matches!(
        next.save(&large).await,
        Err(LeaseError::TooLarge(_))
    ));
    assert_eq!(server.writes(), writes);
}

#[tokio::test(start_paused = true)]
async fn one_that_took_it_and_ended_does_not_stop_the_checkpoint_of_the_one_before() {
    let server = Server::default();
    let (running, new) = (server.lease("running"), server.lease("new"));
    running.take().await;
    running.save("1").await.unwrap();
    assert_eq!(new.take().await.unwrap(), "1");
    let lost = running.save("2").await;
    assert!(matches!(lost, Err(LeaseError::Lost(_))), "{lost:?}");
    // For as long as it writes, it is its own.
    for mark in 0..100 {
        advance(Duration::from_secs(60)).await;
        new.save(&mark.to_string()).await.unwrap();
        let lost = running.save("2").await;
        assert!(matches!(lost, Err(LeaseError::Lost(_))), "{lost:?}");
    }
    advance(GONE).await;
    running.save("3").await.unwrap();
    assert_eq!(server.holder(), "running");
    assert_eq!(server.lease("next").take().await.unwrap(), "3");
}
