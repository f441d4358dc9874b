//! Services that take one event a request.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::Request;

use super::{Answer, HttpClient, TlsConfig};
use crate::event::Event;
use crate::sink::preview::Preview;
use crate::sink::{Receipt, Rejection, SendError, SendErrorKind, Sink};
use crate::yaml::Problems;

/// A service that takes one event a request: what to ask it, and what its answers mean.
pub trait Service: Send + Sync {
    /// The request that tells of an event; or why there can be none, ever.
    fn request(&self, event: &Event) -> Result<Request, String>;

    /// Whether a request holds what a lookup of the involved object adds.
    fn reads_object(&self) -> bool;

    /// Whether an answer says that the event was taken.
    fn verdict(&self, answer: &Answer) -> Result<(), SendError> {
        answer.by_status()
    }
}

/// The sink of a [`Service`]: one request after the other.
pub struct OneByOne<S> {
    client: HttpClient,
    service: S,
}

// === impl OneByOne ===

impl<S: Service> OneByOne<S> {
    /// Makes the sink.
    pub fn new(service: S, client: HttpClient) -> Self {
        Self { client, service }
    }

    /// Makes the sink of a service that is there, or tells what is wrong with it and with its connection. Reads the files
    /// of certificates, connects nowhere.
    pub fn build(
        service: Result<S, Problems>,
        tls: &TlsConfig,
        timeout: Duration,
    ) -> Result<Box<dyn Sink>, Problems>
    where
        S: 'static,
    {
        let mut problems = Problems::default();
        let service = problems.ok(service);
        let client = problems.ok(HttpClient::new(tls, timeout));
        match (service, client) {
            (Some(service), Some(client)) => Ok(Box::new(Self::new(service, client))),
            _ => Err(problems),
        }
    }

    async fn attempt(&self, event: &Event) -> Result<u16, SendError> {
        let request = self.service.request(event).map_err(|reason| SendError {
            kind: SendErrorKind::Refused,
            ..SendError::transient(reason)
        })?;
        let answer = self.client.send(request).await?;
        self.service.verdict(&answer).map(|()| answer.status)
    }

    async fn send_each(&self, batch: &[Arc<Event>]) -> Receipt {
        let mut receipt = Receipt::default();
        for (index, event) in batch.iter().enumerate() {
            match self.attempt(event).await {
                Ok(status) => receipt.status = Some(status),
                Err(error)
                    if matches!(error.kind, SendErrorKind::Refused | SendErrorKind::TooLarge) =>
                {
                    receipt.status = error.status.or(receipt.status);
                    receipt.rejected.push(Rejection {
                        index,
                        reason: error.reason,
                    });
                }
                Err(error) => {
                    receipt.status = error.status;
                    receipt.retry = (index..batch.len()).collect();
                    receipt.retry_cause = Some(error);
                    break;
                }
            }
        }
        receipt
    }
}

impl<S: Service> Sink for OneByOne<S> {
    fn send<'a>(&'a self, batch: &'a [Arc<Event>]) -> BoxFuture<'a, Result<Receipt, SendError>> {
        self.send_each(batch).map(Ok).boxed()
    }

    fn reads_object(&self) -> bool {
        self.service.reads_object()
    }

    fn preview(&self, event: &Event) -> Result<Preview, String> {
        self.service
            .request(event)
            .map(|request| Preview::of_request(&request))
    }
}
