//! What a server or a connection refuses, as kinds of errors.

use std::{fmt, sync::Arc};

use asm_core::{Error, ErrorKind};
use redis::{RedisError, ServerError};

/// How a call failed, and what may be done about it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server did not know the script; nothing happened.
    NoScript,
    /// The slot is at another node; nothing happened.
    Moved(String, u16),
    /// The slot is on its way to another node; nothing happened.
    Ask(String, u16),
    /// The server refused, and may not later; nothing happened.
    Later(Error),
    /// The connection failed. `sent` says whether the call may have happened.
    Broken { error: Error, sent: bool },
    /// Trying again does not help.
    Final(Error),
}

impl Failure {
    /// The same, for another who waited for the same thing.
    pub(crate) fn for_another(common: Arc<Self>) -> Self {
        let (error, what): (_, fn(Error) -> Self) = match &*common {
            Self::Later(error) => (error, Self::Later),
            Self::Broken { error, .. } => (error, |error| Self::Broken { error, sent: false }),
            Self::Final(error) => (error, Self::Final),
            _ => return Self::Final(Error::new(ErrorKind::Other, "no connection was made")),
        };
        let kind = error.kind();
        let error = Error::new(kind, "no connection to the server could be made");
        what(error.because(Common(common)))
    }

    fn error(&self) -> Option<&Error> {
        match self {
            Self::Later(error) | Self::Broken { error, .. } | Self::Final(error) => Some(error),
            _ => None,
        }
    }

    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Later(error) | Self::Broken { error, .. } | Self::Final(error) => error,
            Self::NoScript => Error::new(ErrorKind::Other, "the server forgets scripts at once"),
            Self::Moved(..) | Self::Ask(..) => {
                Error::new(ErrorKind::NotReady, "the slot moves from node to node")
            }
        }
    }
}

/// The failure of something that several waited for.
#[derive(Debug)]
struct Common(Arc<Failure>);

impl fmt::Display for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.error() {
            Some(error) => fmt::Display::fmt(error, f),
            None => f.write_str("no connection was made"),
        }
    }
}

impl std::error::Error for Common {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.error().and_then(std::error::Error::source)
    }
}

/// What a server answered instead of a value.
pub(crate) fn refusal(error: &ServerError) -> Failure {
    let detail = error.details().unwrap_or_default();
    let node = || {
        let (_, address) = detail.split_once(' ')?;
        let (host, port) = address.trim().rsplit_once(':')?;
        Some((host.to_owned(), port.parse().ok()?))
    };
    match error.code() {
        "NOSCRIPT" => Failure::NoScript,
        "MOVED" => node().map_or_else(|| strange(error), |(host, port)| Failure::Moved(host, port)),
        "ASK" => node().map_or_else(|| strange(error), |(host, port)| Failure::Ask(host, port)),
        _ => by_code(error, detail),
    }
}

fn by_code(error: &ServerError, detail: &str) -> Failure {
    // Errors inside of a script come as ERR from servers before 7.0, with the code in the text; what
    // the user may not do there comes so from all.
    let code = match error.code() {
        "ERR" if DENIED.iter().any(|text| detail.contains(text)) => Some("NOPERM"),
        "ERR" => CODES.iter().find(|code| detail.contains(**code)).copied(),
        code => Some(code),
    };
    let make = |kind, what: &'static str| Error::new(kind, what).because(source(error));
    match code.unwrap_or("ERR") {
        "READONLY" => Failure::Later(make(ErrorKind::ReadOnly, "the server is a replica")),
        "NOREPLICAS" => Failure::Later(make(
            ErrorKind::ReadOnly,
            "the server has fewer replicas than it must have to write",
        )),
        "LOADING" => Failure::Later(make(ErrorKind::NotReady, "the server loads its data")),
        "BUSY" => Failure::Later(make(ErrorKind::NotReady, "the server runs a long script")),
        "TRYAGAIN" => Failure::Later(make(ErrorKind::NotReady, "the slot is moving")),
        "CLUSTERDOWN" => Failure::Later(make(ErrorKind::NotReady, "the cluster is down")),
        "MASTERDOWN" => Failure::Later(make(ErrorKind::NotReady, "the master is down")),
        "OOM" => Failure::Final(make(ErrorKind::Full, "the server has no memory left")),
        "MISCONF" => Failure::Final(make(
            ErrorKind::ReadOnly,
            "the server cannot save to disk and takes no writes",
        )),
        "NOAUTH" | "WRONGPASS" => Failure::Final(make(
            ErrorKind::Unauthenticated,
            "the server does not accept who we are",
        )),
        "NOPERM" => Failure::Final(make(
            ErrorKind::Denied,
            "the server does not allow a command, key or channel",
        )),
        "WRONGTYPE" => Failure::Final(make(
            ErrorKind::Corrupt,
            "the server holds something that is not ours",
        )),
        "CROSSSLOT" => Failure::Final(is_a_node().because(source(error))),
        _ => strange(error),
    }
}

/// How servers put it that a script may not do something.
const DENIED: [&str; 2] = [
    "The user executing the script can't",
    "ACL failure in script",
];

/// Sessions that belong to other nodes cannot be reached.
pub(crate) fn is_a_node() -> Error {
    let what = "the server is a node of a cluster, and was not named as one";
    Error::new(ErrorKind::Unsupported, what)
}

/// Longer ones before those that they contain.
const CODES: [&str; 12] = [
    "READONLY",
    "NOREPLICAS",
    "LOADING",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "OOM",
    "MISCONF",
    "NOPERM",
    "WRONGTYPE",
    "CROSSSLOT",
    "max number of clients",
];

fn strange(error: &ServerError) -> Failure {
    let full = error
        .details()
        .unwrap_or_default()
        .contains("max number of clients");
    let (kind, what) = if full {
        (
            ErrorKind::Unavailable,
            "the server has no connection to spare",
        )
    } else {
        (ErrorKind::Other, "the server refused")
    };
    Failure::Final(Error::new(kind, what).because(source(error)))
}

/// The code alone: what follows it may name a key.
fn source(error: &ServerError) -> Refused {
    Refused(error.code().to_owned())
}

/// The code of a server's refusal.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.0)
    }
}

impl std::error::Error for Refused {}

/// How a connection failed, or could not be made.
pub(crate) fn broken(error: &RedisError, sent: bool) -> Failure {
    let kind = kind_of(error);
    let error = of(error);
    if kind == ErrorKind::Unavailable || kind == ErrorKind::Timeout {
        Failure::Broken { error, sent }
    } else if matches!(kind, ErrorKind::NotReady | ErrorKind::ReadOnly) {
        Failure::Later(error)
    } else {
        Failure::Final(error)
    }
}

/// An error of the library.
pub(crate) fn of(error: &RedisError) -> Error {
    let kind = kind_of(error);
    let what = match kind {
        ErrorKind::Unavailable if error.is_connection_refusal() => "the server refuses connections",
        ErrorKind::Unavailable => "the connection to the server failed",
        ErrorKind::Timeout => "the server did not answer in time",
        ErrorKind::Unauthenticated => "the server does not accept who we are",
        ErrorKind::Denied => "the server does not allow a command",
        ErrorKind::NotReady => "the server is not ready",
        ErrorKind::Unsupported => "the server does not speak this protocol",
        ErrorKind::Invalid => "the settings of the connection cannot be used",
        _ => "the server or the connection failed",
    };
    // Only the kind of it, never its text: that may show what was sent.
    Error::new(kind, what).because(Library(error.kind(), error.code().map(str::to_owned)))
}

/// What the library calls it.
#[derive(Debug)]
struct Library(redis::ErrorKind, Option<String>);

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)?;
        match &self.1 {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Library {}

fn kind_of(error: &RedisError) -> ErrorKind {
    use redis::{ErrorKind as Kind, ServerErrorKind as Server};
    match error.kind() {
        _ if error.is_timeout() => ErrorKind::Timeout,
        Kind::Io => ErrorKind::Unavailable,
        Kind::AuthenticationFailed => ErrorKind::Unauthenticated,
        Kind::InvalidClientConfig => ErrorKind::Invalid,
        Kind::RESP3NotSupported => ErrorKind::Unsupported,
        Kind::Parse => ErrorKind::Unavailable,
        Kind::Server(Server::BusyLoading | Server::ClusterDown | Server::MasterDown) => {
            ErrorKind::NotReady
        }
        Kind::Server(Server::ReadOnly) => ErrorKind::ReadOnly,
        Kind::Server(Server::NoPerm) => ErrorKind::Denied,
        _ => match error.code() {
            Some("NOAUTH" | "WRONGPASS") => ErrorKind::Unauthenticated,
            Some("ERR")
                if error
                    .detail()
                    .is_some_and(|text| text.contains("max number of clients")) =>
            {
                ErrorKind::Unavailable
            }
            _ => ErrorKind::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use redis::{Value, parse_redis_value};

    use super::*;

    fn answered(text: &str) -> ServerError {
        match parse_redis_value(format!("-{text}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    fn refused(text: &str) -> Failure {
        refusal(&answered(text))
    }

    /// Whether it may go well later, of what is told to the caller.
    #[derive(Debug, PartialEq)]
    enum Told {
        Later(ErrorKind),
        Final(ErrorKind),
    }

    fn told(failure: Failure) -> Told {
        match failure {
            Failure::Later(error) => Told::Later(error.kind()),
            Failure::Final(error) => Told::Final(error.kind()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refusal_says_whether_it_may_go_well_later() {
        let later = [
            ("READONLY no", ErrorKind::ReadOnly),
            ("NOREPLICAS no", ErrorKind::ReadOnly),
            ("LOADING no", ErrorKind::NotReady),
            ("BUSY no", ErrorKind::NotReady),
            ("TRYAGAIN no", ErrorKind::NotReady),
            ("CLUSTERDOWN no", ErrorKind::NotReady),
            ("MASTERDOWN no", ErrorKind::NotReady),
            ("ERR of a script: MASTERDOWN no", ErrorKind::NotReady),
        ];
        for (text, kind) in later {
            assert_eq!(told(refused(text)), Told::Later(kind), "{text}");
        }
        let last = [
            ("OOM no", ErrorKind::Full),
            ("MISCONF no", ErrorKind::ReadOnly),
            ("NOAUTH no", ErrorKind::Unauthenticated),
            ("WRONGPASS no", ErrorKind::Unauthenticated),
            ("NOPERM no", ErrorKind::Denied),
            ("ERR ACL failure in script: no", ErrorKind::Denied),
            ("WRONGTYPE no", ErrorKind::Corrupt),
            ("CROSSSLOT no", ErrorKind::Unsupported),
            ("ERR max number of clients reached", ErrorKind::Unavailable),
            ("ERR no", ErrorKind::Other),
            ("MOVED to nowhere", ErrorKind::Other),
        ];
        for (text, kind) in last {
            assert_eq!(told(refused(text)), Told::Final(kind), "{text}");
        }
        assert!(matches!(refused("NOSCRIPT no"), Failure::NoScript));
        let named = |host: &str, port| host == "10.0.0.1" && port == 7001;
        assert!(
            matches!(refused("MOVED 1 10.0.0.1:7001"), Failure::Moved(host, port) if named(&host, port))
        );
        assert!(
            matches!(refused("ASK 1 10.0.0.1:7001"), Failure::Ask(host, port) if named(&host, port))
        );
    }

    fn lost() -> Failure {
        broken(
            &std::io::Error::from(std::io::ErrorKind::BrokenPipe).into(),
            true,
        )
    }

    #[test]
    fn a_broken_connection_says_what_broke_it() {
        let text = |error: &RedisError| of(error).to_string();
        let io = |kind| RedisError::from(std::io::Error::from(kind));
        assert!(matches!(
            lost(),
            Failure::Broken { error, sent: true } if error.kind() == ErrorKind::Unavailable
        ));
        let late = io(std::io::ErrorKind::TimedOut);
        assert!(matches!(
            broken(&late, false),
            Failure::Broken { error, sent: false } if error.kind() == ErrorKind::Timeout
        ));
        let refused = io(std::io::ErrorKind::ConnectionRefused);
        let texts = [
            text(&late),
            text(&refused),
            text(&io(std::io::ErrorKind::BrokenPipe)),
        ];
        assert!(texts[0].contains("in time"), "{texts:?}");
        assert!(texts[1].contains("refuses connections"), "{texts:?}");
        assert!(
            texts[2].contains("connection to the server failed"),
            "{texts:?}"
        );
        let later = [
            redis::ServerErrorKind::BusyLoading,
            redis::ServerErrorKind::ClusterDown,
            redis::ServerErrorKind::MasterDown,
            redis::ServerErrorKind::ReadOnly,
        ];
        for kind in later {
            let error = RedisError::from((redis::ErrorKind::Server(kind), "no"));
            assert!(
                matches!(broken(&error, true), Failure::Later(_)),
                "{kind:?}"
            );
        }
        let denied = redis::ErrorKind::Server(redis::ServerErrorKind::NoPerm);
        let last = [
            (denied, ErrorKind::Denied, "does not allow"),
            (
                redis::ErrorKind::AuthenticationFailed,
                ErrorKind::Unauthenticated,
                "who we are",
            ),
            (
                redis::ErrorKind::InvalidClientConfig,
                ErrorKind::Invalid,
                "settings",
            ),
            (
                redis::ErrorKind::RESP3NotSupported,
                ErrorKind::Unsupported,
                "protocol",
            ),
        ];
        for (of_the_library, kind, what) in last {
            match broken(&RedisError::from((of_the_library, "no")), true) {
                Failure::Final(error) => {
                    assert_eq!(error.kind(), kind);
                    assert!(error.to_string().contains(what), "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Some servers say so before they end the connection, and some just end it.
    #[test]
    fn a_server_without_a_connection_to_spare_may_have_one_later() {
        let kind = |text| kind_of(&answered(text).into());
        let full = kind("ERR max number of clients reached");
        assert_eq!(full, ErrorKind::Unavailable);
        assert_eq!(kind("ERR unknown command"), ErrorKind::Other);
    }

    /// Each of those who wait for one connection is told why there is none, and none has sent
    /// anything.
    #[test]
    fn a_failure_is_told_to_all_who_waited() {
        let another = |failure| Failure::for_another(Arc::new(failure));
        assert!(matches!(
            another(lost()),
            Failure::Broken { error, sent: false } if error.kind() == ErrorKind::Unavailable
        ));
        let cases = [
            (refused("LOADING no"), Told::Later(ErrorKind::NotReady)),
            (
                refused("NOAUTH no"),
                Told::Final(ErrorKind::Unauthenticated),
            ),
            (Failure::NoScript, Told::Final(ErrorKind::Other)),
        ];
        for (failure, expected) in cases {
            assert_eq!(told(another(failure)), expected);
        }
    }

    #[test]
    fn whoever_waited_is_told_what_the_server_answered() {
        let common = Arc::new(refused("NOAUTH no"));
        let mut cause: Option<&dyn std::error::Error> = None;
        let error = Failure::for_another(common).into_error();
        let mut causes = Vec::new();
        cause.replace(&error);
        while let Some(next) = cause {
            causes.push(next.to_string());
            cause = next.source();
        }
        for told in ["does not accept who we are", "the server answered NOAUTH"] {
            assert!(
                causes.iter().any(|cause| cause.contains(told)),
                "{causes:?}"
            );
        }
    }
}
