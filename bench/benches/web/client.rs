//! A client that asks once, on a connection of its own.

use std::{error::Error, net::SocketAddr};

use http::header;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The cookie of a new session.
pub(crate) async fn new_cookie(address: SocketAddr) -> Result<String, Box<dyn Error>> {
    let response = ask(address, "POST", "/start", "none=1").await?;
    let name = header::SET_COOKIE.as_str();
    let cookie = response.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        let cookie = value.split(';').next()?;
        found.eq_ignore_ascii_case(name).then(|| cookie.to_owned())
    });
    Ok(cookie.ok_or("there is no cookie")?)
}

/// The answer, which must be a good one.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    cookie: &str,
) -> Result<String, Box<dyn Error>> {
    let response = send(address, method, path, cookie).await?;
    match status(&response) {
        Some(200) => Ok(response),
        _ => Err(format!("{method} {path}: {response}").into()),
    }
}

/// The status of an answer.
pub(crate) fn status(response: &str) -> Option<u16> {
    response.split(' ').nth(1)?.parse().ok()
}

/// The answer, whatever it is.
pub(crate) async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    cookie: &str,
) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\
         connection: close\r\ncookie: {cookie}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}
