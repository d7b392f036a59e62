//! Tells systemd, where that asked for it, that the server is ready: a unit of `Type=notify`
//! counts as started from then on, and what restarts one after the other waits for it
//! (sd_notify(3)).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

pub(super) fn ready() {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else {
        return;
    };
    if let Err(error) = tell(&socket, "READY=1") {
        tracing::warn!(%error, "systemd can't be told that the server is ready");
    }
}

fn tell(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_told_at_a_path_and_at_a_name_of_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = path.display().to_string();
        let hidden = SocketAddr::from_abstract_name(&name).unwrap();
        let at_path = UnixDatagram::bind(&path).unwrap();
        let at_name = UnixDatagram::bind_addr(&hidden).unwrap();
        for (socket, told) in [(name.clone(), at_path), (format!("@{name}"), at_name)] {
            tell(OsStr::new(&socket), "READY=1").unwrap();
            let mut bytes = [0; 16];
            let length = told.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..length], b"READY=1");
        }
    }
}
