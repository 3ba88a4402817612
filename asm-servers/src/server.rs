//! One server.

use std::{
    ffi::OsString,
    fmt::{self, Write as _},
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::FromRedisValue;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::{Certificates, Error, PATIENCE, Program, Result, place, until, warden::Warden};

/// One server on a free port of the loopback interface, with a directory of its own. Dropped, it is
/// killed and its directory removed.
///
/// It saves nothing to disk unless told to by [`ServerBuilder::line`]; then [`Server::restart`]
/// finds it again.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    port: u16,
    directory: PathBuf,
    certificates: Option<Certificates>,
    warden: Arc<Warden>,
    process: Mutex<Option<Child>>,
    /// Else the warden alone ends it.
    ours: bool,
    admin: Admin,
}

/// What a server should be like.
#[derive(Clone, Debug, Default)]
pub struct ServerBuilder {
    settings: Settings,
    warden: Option<Arc<Warden>>,
}

#[derive(Clone, Debug, Default)]
struct Settings {
    name: String,
    kind: Kind,
    password: Option<Hidden>,
    users: Vec<(String, Hidden)>,
    tls: bool,
    lines: Vec<String>,
    environment: Vec<(String, OsString)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Alone,
    Node,
    Sentinel,
}

/// A text that no `Debug` shows.
#[derive(Clone)]
struct Hidden(String);

/// Who the helper itself is to the server: a user of its own, whatever becomes of the others.
#[derive(Debug)]
struct Admin {
    password: Hidden,
    connection: Mutex<Option<Connection>>,
}

struct Connection(redis::Connection);

const ADMIN: &str = "asm-servers";

impl Server {
    /// One as it comes: no password, no limit.
    ///
    /// # Errors
    /// [`Error::Missing`] when no server is installed; else when it does not start.
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }

    /// One with wishes.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Its port on the loopback interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its certificates and those of its clients, if it speaks TLS.
    #[must_use]
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Its URL for clients, with the password if it has one.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.settings.tls { "rediss" } else { "redis" };
        match &self.settings.password {
            Some(Hidden(password)) => format!("{scheme}://:{password}@{}", self.addr()),
            None => format!("{scheme}://{}", self.addr()),
        }
    }

    /// The URL of its unix socket, with the password if it has one.
    #[must_use]
    pub fn socket_url(&self) -> String {
        let path = self.socket();
        match &self.settings.password {
            Some(Hidden(password)) => format!("redis+unix://{}?pass={password}", path.display()),
            None => format!("redis+unix://{}", path.display()),
        }
    }

    /// The id of its process. `None` after [`Server::kill`].
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Child::id)
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Runs a command as an administrator, whatever users and passwords the server has.
    ///
    /// ```no_run
    /// # let server = asm_servers::Server::start()?;
    /// let policy: Vec<String> = server.call(&["CONFIG", "GET", "maxmemory-policy"])?;
    /// assert_eq!(policy[1], "noeviction");
    /// # Ok::<(), asm_servers::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] with what the server answered, or when it does not answer within
    /// [`PATIENCE`]: a stopped one does not.
    pub fn call<T: FromRedisValue>(&self, command: &[&str]) -> Result<T> {
        self.ask(command, PATIENCE)
            .map_err(|source| Error::Refused {
                server: self.to_string(),
                command: command.first().copied().unwrap_or_default().to_owned(),
                source,
            })
    }

    /// A field of its `INFO`.
    ///
    /// # Errors
    /// As [`Server::call`]; [`Error::Impossible`] when it has no such field.
    pub fn info(&self, field: &str) -> Result<String> {
        let info: String = self.call(&["INFO", "everything"])?;
        field_of(&info, field)
            .map(str::to_owned)
            .ok_or_else(|| Error::Impossible(format!("{self} has no {field} in its INFO")))
    }

    /// How often it has run each command since it started, or since `CONFIG RESETSTAT`, as (name,
    /// calls); what scripts call counts too. The helper's own are among them: `INFO`, `AUTH`,
    /// `PING`.
    ///
    /// # Errors
    /// As [`Server::call`].
    pub fn command_stats(&self) -> Result<Vec<(String, u64)>> {
        let info: String = self.call(&["INFO", "commandstats"])?;
        Ok(info.lines().filter_map(calls_in).collect())
    }

    /// Stops the process where it is (`SIGSTOP`). Connections stay, and nothing answers.
    ///
    /// # Errors
    /// When there is no process.
    pub fn stop(&self) -> Result<()> {
        let pid = self.signal(Signal::STOP)?;
        waitid(
            WaitId::Pid(pid),
            WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT,
        )
        .map(drop)
        .map_err(|error| Error::io("wait for", self.directory.clone())(error.into()))
    }

    /// Lets a stopped process go on (`SIGCONT`).
    ///
    /// # Errors
    /// When there is no process.
    pub fn cont(&self) -> Result<()> {
        self.signal(Signal::CONT).map(drop)
    }

    /// Kills the process (`SIGKILL`); from then on its port refuses. It is no error when there is
    /// none.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&self) -> Result<()> {
        let mut process = self.process();
        if let Some(child) = &mut *process {
            let pid = child.id();
            child
                .kill()
                .and_then(|()| child.wait())
                .map_err(Error::io("kill", &self.directory))?;
            *process = None;
            self.warden.spare(pid)?;
        }
        *self.admin() = None;
        Ok(())
    }

    /// Kills the process if there is one, and starts another on the same port and directory. It is
    /// there and answers when this returns.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&self) -> Result<()> {
        self.relaunch()?;
        self.ready()
    }

    /// As [`Server::restart`], but does not wait until it answers: to see how clients fare while it
    /// loads its data.
    ///
    /// # Errors
    /// When it does not start.
    pub fn relaunch(&self) -> Result<()> {
        self.kill()?;
        self.launch()
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// [`Error::Ended`] when its process ends instead.
    pub fn ready(&self) -> Result<()> {
        let mut over = None;
        let ready = until(&format!("an answer of {self}"), || {
            if let Err(ended) = self.still_runs() {
                over = Some(ended);
                return Ok(());
            }
            self.ask::<String>(&["PING"], Duration::from_secs(1))
                .map(drop)
                .map_err(|error| error.to_string())
        });
        match over {
            Some(ended) => Err(ended),
            None => ready,
        }
    }

    pub(crate) fn password(&self) -> Option<&str> {
        let password = self.settings.password.as_ref();
        password.map(|Hidden(password)| password.as_str())
    }

    /// It is left to its warden: this value does not end it any more.
    pub(crate) fn leave(mut self) {
        self.ours = false;
    }

    /// Runs a command, with this patience for its answer.
    pub(crate) fn ask<T: FromRedisValue>(
        &self,
        command: &[&str],
        patience: Duration,
    ) -> redis::RedisResult<T> {
        let mut kept = self.admin();
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => self.connect(patience)?,
        };
        connection.0.set_read_timeout(Some(patience))?;
        let mut request = redis::Cmd::new();
        for part in command {
            request.arg(*part);
        }
        let answer: redis::RedisResult<redis::Value> = request.query(&mut connection.0);
        // A connection whose answer is still to come answers the next question with it.
        if answer
            .as_ref()
            .err()
            .is_none_or(|error| !error.is_io_error() && !error.is_timeout())
        {
            *kept = Some(connection);
        }
        Ok(redis::from_redis_value(answer?)?)
    }

    fn connect(&self, patience: Duration) -> redis::RedisResult<Connection> {
        let Hidden(password) = &self.admin.password;
        let url = match self.settings.kind {
            Kind::Sentinel => match &self.settings.password {
                Some(Hidden(password)) => format!("redis://:{password}@{}", self.addr()),
                None => format!("redis://{}", self.addr()),
            },
            _ => format!(
                "redis+unix://{}?user={ADMIN}&pass={password}",
                self.socket().display()
            ),
        };
        let client = redis::Client::open(url)?;
        client.get_connection_with_timeout(patience).map(Connection)
    }

    fn signal(&self, signal: Signal) -> Result<Pid> {
        let process = self.process();
        let child = process
            .as_ref()
            .ok_or_else(|| Error::Impossible(format!("{self} was killed")))?;
        let pid = Pid::from_child(child);
        kill_process(pid, signal)
            .map_err(|error| Error::io("signal", self.directory.clone())(error.into()))?;
        Ok(pid)
    }

    fn launch(&self) -> Result<()> {
        let program = Program::found()?;
        let mut command = Command::new(program.path());
        command.arg(self.configuration());
        if self.settings.kind == Kind::Sentinel {
            command.arg("--sentinel");
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .envs(self.settings.environment.iter().cloned())
            .current_dir(&self.directory)
            // A terminal's Ctrl-C is for the test.
            .process_group(0)
            .spawn()
            .map_err(Error::io("start", program.path()))?;
        self.warden.watch(child.id())?;
        *self.process() = Some(child);
        Ok(())
    }

    fn still_runs(&self) -> Result<()> {
        let mut process = self.process();
        let ended = match &mut *process {
            None => true,
            Some(child) => child
                .try_wait()
                .map_err(Error::io("look for", &self.directory))?
                .is_some(),
        };
        if !ended {
            return Ok(());
        }
        if let Some(child) = process.take() {
            self.warden.spare(child.id())?;
        }
        Err(Error::Ended {
            server: self.to_string(),
            log: self.log(),
        })
    }

    fn configuration(&self) -> PathBuf {
        self.directory.join("configuration")
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admin(&self) -> MutexGuard<'_, Option<Connection>> {
        let admin = self.admin.connection.lock();
        admin.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.ours {
            // What fails here is left to the warden.
            let _ = self.kill();
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on port {}", self.settings.name, self.port)
    }
}

impl ServerBuilder {
    /// Clients need this password (`requirepass`). It is that of replicas to their master, too.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.settings.password = Some(Hidden(password.into()));
        self
    }

    /// One more user, with the rules of `ACL SETUSER`.
    ///
    /// ```no_run
    /// # use asm_servers::Server;
    /// let server = Server::builder()
    ///     .user("asm", "on >secret ~asm:* &asm:* +@read +@write +@scripting")
    ///     .user("default", "off")
    ///     .start()?;
    /// # Ok::<(), asm_servers::Error>(())
    /// ```
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, rules: impl Into<String>) -> Self {
        let user = (name.into(), Hidden(rules.into()));
        self.settings.users.push(user);
        self
    }

    /// It speaks TLS only, with new certificates ([`Server::certificates`]), and wants one of its
    /// clients, too. A `line("tls-auth-clients no")` after this lets them come without.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.settings.tls = true;
        self.line("tls-auth-clients yes")
    }

    /// Its memory in bytes, and what it does when there is no more of it (`noeviction`,
    /// `allkeys-lru`, ...).
    #[must_use]
    pub fn memory(self, bytes: u64, policy: &str) -> Self {
        self.line(format!("maxmemory {bytes}"))
            .line(format!("maxmemory-policy {policy}"))
    }

    /// How many databases it has.
    #[must_use]
    pub fn databases(self, count: u32) -> Self {
        self.line(format!("databases {count}"))
    }

    /// A line of its configuration. The last one of a name counts.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.settings.lines.push(line.into());
        self
    }

    /// A variable of its environment, beside those of this process.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        let variable = (name.into(), value.into());
        self.settings.environment.push(variable);
        self
    }

    /// Starts it; it answers when this returns.
    ///
    /// # Errors
    /// [`Error::Missing`] when no server is installed; [`Error::Ended`] when it does not accept
    /// what was wished; else when it does not start.
    pub fn start(self) -> Result<Server> {
        loop {
            let port = place::free_port()?;
            match self.clone().start_on(port) {
                // Somebody else was given the same port in between.
                Err(Error::Ended { log, .. }) if log.contains("Address already in use") => {}
                started => return started,
            }
        }
    }

    /// What it is called in messages.
    pub(crate) fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    pub(crate) fn kind(mut self, kind: Kind) -> Self {
        self.settings.kind = kind;
        self
    }

    /// Whose it is, if not this process's.
    pub(crate) fn warden(mut self, warden: Option<Arc<Warden>>) -> Self {
        self.warden = warden;
        self
    }

    fn start_on(self, port: u16) -> Result<Server> {
        let Self { settings, warden } = self;
        // Without a server there is nothing to prepare.
        Program::found()?;
        let warden = match warden {
            Some(warden) => warden,
            None => Warden::of_this_process()?,
        };
        let directory = subdirectory(warden.directory())?;
        let certificates = match settings.tls {
            true => Some(Certificates::new(&directory)?),
            false => None,
        };
        let mut server = Server {
            settings,
            port,
            directory,
            certificates,
            warden,
            process: Mutex::new(None),
            ours: true,
            admin: Admin {
                password: Hidden(random_text()),
                connection: Mutex::new(None),
            },
        };
        if server.settings.name.is_empty() {
            server.settings.name = "the server".to_owned();
        }
        let text = server.configured();
        let path = server.configuration();
        fs::write(&path, text).map_err(Error::io("write", path))?;
        server.launch()?;
        server.ready()?;
        Ok(server)
    }
}

impl Server {
    /// The text of its configuration.
    fn configured(&self) -> String {
        let mut text = String::new();
        let mut line = |line: fmt::Arguments<'_>| {
            text.write_fmt(line).expect("a text grows");
            text.push('\n');
        };
        let directory = self.directory.display();
        line(format_args!("bind 127.0.0.1"));
        line(format_args!("dir {directory}"));
        line(format_args!("logfile {directory}/log"));
        match &self.certificates {
            None => line(format_args!("port {}", self.port)),
            Some(files) => {
                line(format_args!("port 0\ntls-port {}", self.port));
                let server = &files.server;
                for (name, path) in [
                    ("tls-ca-cert-file", &files.authority.certificate),
                    ("tls-cert-file", &server.certificate),
                    ("tls-key-file", &server.key),
                ] {
                    line(format_args!("{name} {}", path.display()));
                }
            }
        }
        if let Some(Hidden(password)) = &self.settings.password {
            line(format_args!("requirepass \"{password}\""));
        }
        if self.settings.kind != Kind::Sentinel {
            line(format_args!("unixsocket {}", self.socket().display()));
            line(format_args!("save \"\""));
            // So that a test can bring a server into any state.
            line(format_args!("enable-debug-command local"));
            // A replica is served at once, and not together with those of the next five seconds.
            line(format_args!("repl-diskless-sync-delay 0"));
            if let Some(Hidden(password)) = &self.settings.password {
                line(format_args!("masterauth \"{password}\""));
            }
            let Hidden(password) = &self.admin.password;
            line(format_args!("user {ADMIN} on >{password} ~* &* +@all"));
        }
        if self.settings.kind == Kind::Node {
            line(format_args!("cluster-enabled yes"));
            line(format_args!("cluster-config-file nodes"));
        }
        for (name, Hidden(rules)) in &self.settings.users {
            line(format_args!("user {name} {rules}"));
        }
        for wish in &self.settings.lines {
            line(format_args!("{wish}"));
        }
        text
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

/// The value of a field in a text such as `INFO` answers.
pub(crate) fn field_of<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find_map(|(name, value)| (name == field).then(|| value.trim()))
}

/// The name and the calls in `cmdstat_get:calls=12,usec=...`.
fn calls_in(line: &str) -> Option<(String, u64)> {
    let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
    let calls = rest.split(',').next()?.parse().ok()?;
    Some((name.to_owned(), calls))
}

fn subdirectory(parent: &Path) -> Result<PathBuf> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let directory = parent.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
    fs::create_dir(&directory).map_err(Error::io("make", &directory))?;
    Ok(directory)
}

fn random_text() -> String {
    std::iter::repeat_with(fastrand::alphanumeric)
        .take(32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_info() {
        let info = "# Server\r\nredis_version:7.0.15\r\nrole:master\r\n";
        assert_eq!(field_of(info, "role"), Some("master"));
        assert_eq!(field_of(info, "rol"), None);
        assert_eq!(
            calls_in("cmdstat_config|get:calls=3,usec=30,usec_per_call=10.00"),
            Some(("config|get".to_owned(), 3))
        );
        assert_eq!(calls_in("# Commandstats"), None);
    }
}
