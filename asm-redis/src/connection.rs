//! One connection, and who writes to it.
//!
//! A task of the client library writes for all callers. It is woken by the first who has something to
//! write, and tokio lets it go before the others who could: of many callers who were answered
//! together, each would cost a write of its own, and that is more than all the rest that a call costs
//! its process. So the task steps back once, behind whoever can go on at once.

use std::{
    convert::Infallible,
    io,
    pin::{Pin, pin},
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::{select, select_ok};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, RedisConnectionInfo, RedisError,
    aio::MultiplexedConnection,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    sync::oneshot,
};

/// How many bytes are written without waiting for more: what a server reads at a time.
const ENOUGH: usize = 16 << 10;

/// How many hold the connection while one call is under way: that one, and whoever keeps the
/// connection for the next.
const OF_ONE_CALL: usize = 2;

/// How many bytes may wait to be written before callers wait.
const MOST: usize = 64 << 10;

/// A connection that any number of callers may share, each with a clone. It ends with the last one.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) commands: MultiplexedConnection,
    #[expect(dead_code, reason = "the connection lasts until it is dropped")]
    holders: Holders,
}

/// Dropped by the last holder, which ends the task that writes.
type Holders = Arc<oneshot::Sender<Infallible>>;

impl Connection {
    /// One that the library made.
    pub(crate) fn of(commands: MultiplexedConnection) -> Self {
        let holders = Arc::new(oneshot::channel().0);
        Self { commands, holders }
    }

    async fn over<S>(
        stream: S,
        login: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> Result<Self, RedisError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, ended) = oneshot::channel();
        let holders = Arc::new(sender);
        let stream = Gathering {
            stream,
            holders: Arc::downgrade(&holders),
            stepped_back: false,
        };
        let made = MultiplexedConnection::new_with_config(login, stream, config);
        let (commands, task) = made.await?;
        tokio::spawn(async move {
            select(pin!(task), ended).await;
        });
        Ok(Self { commands, holders })
    }
}

/// Connects. Deadlines of calls are the driver's own, so the library's are off.
pub(crate) async fn connect(client: &Client, timeout: Duration) -> Result<Connection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(1024)
        .set_write_backpressure_boundary(MOST);
    let info = client.get_connection_info();
    let login = info.redis_settings();
    in_time(timeout, async {
        match info.addr() {
            ConnectionAddr::Tcp(host, port) => {
                Connection::over(tcp(host, *port).await?, login, config).await
            }
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await?;
                Connection::over(stream, login, config).await
            }
            // Only the library knows how it does TLS.
            _ => {
                let made = client.get_multiplexed_async_connection_with_config(&config);
                made.await.map(Connection::of)
            }
        }
    })
    .await
}

/// To whichever address of the host answers first.
async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses: Vec<_> = lookup_host((host, port)).await?.collect();
    if addresses.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let streams = addresses
        .into_iter()
        .map(|address| Box::pin(TcpStream::connect(address)));
    let (stream, _) = select_ok(streams).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The answer, or that it took too long.
pub(crate) async fn in_time<T>(
    longest: Duration,
    answer: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    let answer = tokio::time::timeout(longest, answer).await;
    answer.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

/// A stream to which what several callers have to say is written at once.
struct Gathering<S> {
    stream: S,
    holders: Weak<oneshot::Sender<Infallible>>,
    stepped_back: bool,
}

impl<S> Gathering<S> {
    /// Whether others may be about to write.
    fn may_become_more(&self, bytes: &[u8]) -> bool {
        bytes.len() < ENOUGH && self.holders.strong_count() > OF_ONE_CALL
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.stepped_back && self.may_become_more(bytes) {
            self.stepped_back = true;
            // A task that wakes itself comes last of those that can go on.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        self.stepped_back = false;
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    type Gathered = Gathering<Vec<u8>>;

    fn write(stream: &mut Gathered, bytes: &[u8]) -> bool {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let written = Pin::new(stream).poll_write(&mut context, bytes);
        written.is_ready()
    }

    fn gathering(holders: &Holders) -> Gathered {
        Gathering {
            stream: Vec::new(),
            holders: Arc::downgrade(holders),
            stepped_back: false,
        }
    }

    #[test]
    fn a_writer_steps_back_once_where_others_may_write_too() {
        let holders: Holders = Arc::new(oneshot::channel().0);
        let mut stream = gathering(&holders);
        let _caller = Arc::clone(&holders);
        assert!(write(&mut stream, b"alone"));
        let _other = Arc::clone(&holders);
        for _ in 0..2 {
            assert!(!write(&mut stream, b" and"));
            assert!(write(&mut stream, b" and together"));
        }
        assert_eq!(stream.stream, b"alone and together and together");
    }

    #[test]
    fn what_is_enough_is_written() {
        let holders: Holders = Arc::new(oneshot::channel().0);
        let mut stream = gathering(&holders);
        let _callers = [Arc::clone(&holders), Arc::clone(&holders)];
        assert!(write(&mut stream, &[0; ENOUGH]));
    }

    #[tokio::test]
    async fn a_connection_ends_with_its_last_holder_also_when_nobody_reads() {
        let (near, mut far) = duplex(256);
        let login = RedisConnectionInfo::default();
        let made = Connection::over(near, &login, AsyncConnectionConfig::new());
        let greeted = async {
            far.read_u8().await?;
            far.write_all(b"+OK\r\n+OK\r\n").await
        };
        let (made, greeted) = join(made, greeted).await;
        greeted.expect("a greeting that is read");
        let made = made.expect("a connection");
        let mut set = redis::cmd("SET");
        set.arg("key").arg(&[b'x'; 4096]);
        let asked = async move {
            let mut connection = made;
            connection.commands.send_packed_command(&set).await
        };
        let heard = async { while far.read_u8().await.expect("a byte") != b'x' {} };
        // The answer never comes; what asks for it is dropped, and with it the connection.
        select(pin!(asked), pin!(heard)).await;
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).await.expect("the end");
        assert!(rest.len() < 4096, "{} bytes", rest.len());
    }
}
