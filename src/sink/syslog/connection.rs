//! The way to a syslog daemon: datagrams, or a stream of lines.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream, lookup_host};
use tokio::time::timeout;

use crate::yaml::{Located, Problem};

/// Where a daemon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// On this machine, at one of the usual places.
    Local,
    /// `host:port`
    Udp(String),
    /// `host:port`
    Tcp(String),
    /// A path.
    Unix(String),
    /// A path.
    Unixgram(String),
}

/// An open way to a daemon.
pub(super) enum Connection {
    Datagrams(Datagrams),
    Lines(Box<dyn Stream>),
}

/// What sends a message at a time.
pub(super) enum Datagrams {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// A socket that carries one byte after the other.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl Stream for TcpStream {}
impl Stream for UnixStream {}

const LOCAL: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];
/// What a socket says of a datagram that it will never carry.
const EMSGSIZE: i32 = 90;

// === impl Address ===

impl Address {
    /// Reads the incumbent's `network` and `address`, which are Go's.
    pub(super) fn parse(
        network: &Located<String>,
        address: &Located<String>,
    ) -> Result<Self, Problem> {
        let make = match network.as_str() {
            "" if address.is_empty() => return Ok(Self::Local),
            "" => {
                return Err(address.problem(
                    "an `address` needs a `network`: give one of udp, tcp, unix, unixgram",
                ));
            }
            "udp" | "udp4" | "udp6" => Self::Udp,
            "tcp" | "tcp4" | "tcp6" => Self::Tcp,
            "unix" => Self::Unix,
            "unixgram" => Self::Unixgram,
            _ => {
                return Err(network.problem(format!(
                    "`{}` is no network: give one of udp, tcp, unix, unixgram, or leave it out for the daemon on this machine",
                    network.shown()
                )));
            }
        };
        if address.is_empty() {
            return Err(network.problem("a `network` needs an `address`"));
        }
        if network.starts_with("unix") {
            return Ok(make(address.value.clone()));
        }
        let parts = address.rsplit_once(':');
        match parts.map(|(host, port)| (host, port.parse::<u16>())) {
            // As Go has it.
            Some(("", Ok(port))) => Ok(make(format!("localhost:{port}"))),
            Some((_, Ok(_))) => Ok(make(address.value.clone())),
            _ => Err(address.problem("write HOST:PORT, for example syslog.logging:514")),
        }
    }

    /// Whether the daemon knows the machine that it runs on.
    pub(super) fn is_local(&self) -> bool {
        !matches!(self, Self::Udp(_) | Self::Tcp(_))
    }

    /// Opens the way there.
    pub(super) async fn connect(&self) -> io::Result<Connection> {
        match self {
            Self::Local => {
                let datagrams = LOCAL.iter().find_map(|path| unixgram(path).ok());
                if let Some(datagrams) = datagrams {
                    return Ok(datagrams);
                }
                for path in LOCAL {
                    if let Ok(stream) = UnixStream::connect(path).await {
                        return Ok(Connection::Lines(Box::new(stream)));
                    }
                }
                Err(io::ErrorKind::NotFound.into())
            }
            Self::Udp(address) => udp(address).await,
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                Ok(Connection::Lines(Box::new(stream)))
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                Ok(Connection::Lines(Box::new(stream)))
            }
            Self::Unixgram(path) => unixgram(path),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("the syslog daemon on this machine"),
            Self::Udp(address) | Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) | Self::Unixgram(path) => f.write_str(path),
        }
    }
}

fn unixgram(path: &str) -> io::Result<Connection> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(Connection::Datagrams(Datagrams::Unix(socket)))
}

async fn udp(address: &str) -> io::Result<Connection> {
    let mut last = io::ErrorKind::NotFound.into();
    for address in lookup_host(address).await? {
        let ours: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(ours).await?;
        match socket.connect(address).await {
            Ok(()) => return Ok(Connection::Datagrams(Datagrams::Udp(socket))),
            Err(error) => last = error,
        }
    }
    Err(last)
}

// === impl Datagrams ===

impl Datagrams {
    /// Sends one message.
    pub(super) async fn send(&self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(message).await.map(|_| ()),
            Self::Unix(socket) => socket.send(message).await.map(|_| ()),
        }
    }

    /// What came back of what was sent, as far as it is known yet: that nobody listens there.
    pub(super) fn check(&self) -> io::Result<()> {
        let error = match self {
            Self::Udp(socket) => socket.take_error()?,
            Self::Unix(socket) => socket.take_error()?,
        };
        error.map_or(Ok(()), Err)
    }
}

/// Whether a datagram will never be sent, wherever it goes.
pub(super) fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(EMSGSIZE)
}

/// Writes lines, unless the daemon is gone: it says nothing else, so that its end is all there is to read.
/// One that reads slowly gets all of them, as long as it reads something within `patience`: those that were cut off would be
/// sent again.
pub(super) async fn write(
    stream: &mut dyn Stream,
    lines: &[u8],
    patience: Duration,
) -> io::Result<()> {
    // The runtime looks at its sockets, and sees whether this one has ended.
    tokio::task::yield_now().await;
    let mut ignored = [0; 1024];
    while let Some(read) = futures::FutureExt::now_or_never(stream.read(&mut ignored)) {
        if read? == 0 {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
    let mut rest = lines;
    while !rest.is_empty() {
        let written = timeout(patience, stream.write(rest)).await;
        match written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => rest = &rest[written..],
        }
    }
    stream.flush().await
}
