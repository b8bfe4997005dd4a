//! Looking around: environment, files, sockets. Each comes back and says what it found; a plugin should find nothing.

use std::{env, fs, io::Write as _};

use wasip2::sockets::{
    instance_network::instance_network,
    ip_name_lookup,
    network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress},
    tcp_create_socket, udp_create_socket,
};
use weir_sdk::{Failure, Reply, Request};

/// Environment variables, arguments, the working directory.
pub fn environment(_: &Request, _: &Reply) -> Result<String, Failure> {
    let vars: Vec<_> = env::vars_os().collect();
    let arguments: Vec<_> = env::args_os().collect();
    Ok(format!(
        "{} variables, {} arguments",
        vars.len(),
        arguments.len()
    ))
}

/// Files of the host: reads, lists and writes.
pub fn files(_: &Request, _: &Reply) -> Result<String, Failure> {
    let mut found = Vec::new();
    for path in [
        "/etc/passwd",
        "/proc/self/environ",
        "../../etc/passwd",
        "weir.toml",
    ] {
        if fs::read(path).is_ok() {
            found.push(format!("read {path}"));
        }
    }
    for path in ["/", ".", "..", "/tmp"] {
        if fs::read_dir(path).is_ok() {
            found.push(format!("listed {path}"));
        }
        if fs::File::create(format!("{path}/weir-was-here"))
            .and_then(|mut file| file.write_all(b"x"))
            .is_ok()
        {
            found.push(format!("wrote to {path}"));
        }
    }
    Ok(outcome(&found))
}

/// Sockets and names, past `wasi:http`.
pub fn sockets(_: &Request, _: &Reply) -> Result<String, Failure> {
    let mut found = Vec::new();
    let network = instance_network();
    let address = IpSocketAddress::Ipv4(Ipv4SocketAddress {
        port: 9099,
        address: (127, 0, 0, 1),
    });
    if let Ok(socket) = tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4)
        && socket
            .start_connect(&network, address)
            .and_then(|()| wait(|| socket.finish_connect()))
            .is_ok()
    {
        found.push("connected".to_owned());
    }
    if let Ok(socket) = tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4)
        && socket
            .start_bind(&network, address)
            .and_then(|()| wait(|| socket.finish_bind()))
            .is_ok()
    {
        found.push("bound".to_owned());
    }
    if let Ok(socket) = udp_create_socket::create_udp_socket(IpAddressFamily::Ipv4)
        && socket
            .start_bind(&network, address)
            .and_then(|()| wait(|| socket.finish_bind()))
            .is_ok()
    {
        found.push("bound UDP".to_owned());
    }
    if let Ok(names) = ip_name_lookup::resolve_addresses(&network, "localhost")
        && wait(|| names.resolve_next_address()).is_ok()
    {
        found.push("resolved a name".to_owned());
    }
    Ok(outcome(&found))
}

/// Asks until there is an answer; a thousand times at most.
fn wait<T>(mut ask: impl FnMut() -> Result<T, ErrorCode>) -> Result<T, ErrorCode> {
    for _ in 0..1000 {
        match ask() {
            Err(ErrorCode::WouldBlock) => {}
            answer => return answer,
        }
    }
    Err(ErrorCode::WouldBlock)
}

fn outcome(found: &[String]) -> String {
    if found.is_empty() {
        "nothing found".to_owned()
    } else {
        found.join(", ")
    }
}
