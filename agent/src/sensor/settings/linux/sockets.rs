//! Listening sockets, by the kernel's tables.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wardwatch_policies::observation::{Protocol, Socket, Unreadable};

use super::super::say;
use super::place::{Place, shown};

const TABLES: [(&[u8], Protocol); 4] = [
    (b"/proc/net/tcp", Protocol::Tcp),
    (b"/proc/net/tcp6", Protocol::Tcp),
    (b"/proc/net/udp", Protocol::Udp),
    (b"/proc/net/udp6", Protocol::Udp),
];

const MAX_TABLE_BYTES: u64 = 64 * 1024 * 1024;
const MAX_SOCKETS: usize = 20_000;

pub(super) fn listening(place: &Place) -> Result<Vec<Socket>, Unreadable> {
    let mut sockets = Vec::new();
    for (path, protocol) in TABLES {
        match place.kernel_file(path)? {
            Some(table) => read_table(table, protocol, &mut sockets)
                .map_err(|reason| Unreadable(format!("{}: {reason}", shown(path))))?,
            // A kernel without IPv6 has no such table; without IPv4's nothing was seen at all.
            None if path.ends_with(b"6") => {}
            None => return Err(Unreadable("/proc/net is not there: listening ports cannot be seen".into())),
        }
    }
    Ok(sockets)
}

/// Line by line: a busy server has a hundred thousand connections, of which none is kept.
fn read_table(table: File, protocol: Protocol, sockets: &mut Vec<Socket>) -> Result<(), String> {
    let mut lines = BufReader::new(table.take(MAX_TABLE_BYTES)).lines();
    let mut bytes = 0;
    while let Some(line) = lines.next().transpose().map_err(|error| say(&error))? {
        bytes += line.len() as u64 + 1;
        sockets.extend(socket(&line, protocol));
    }
    if bytes >= MAX_TABLE_BYTES || sockets.len() > MAX_SOCKETS {
        return Err(format!("it has more than {MAX_TABLE_BYTES} bytes or {MAX_SOCKETS} listening sockets"));
    }
    Ok(())
}

fn socket(line: &str, protocol: Protocol) -> Option<Socket> {
    const LISTEN: &str = "0A";
    const UNCONNECTED: &str = "07";
    let mut fields = line.split_whitespace().skip(1);
    let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    let wanted = match protocol {
        Protocol::Tcp => LISTEN,
        Protocol::Udp => UNCONNECTED,
    };
    if state != wanted {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    let (address, port) = (parse_address(address)?, u16::from_str_radix(port, 16).ok()?);
    let shown = match address {
        IpAddr::V4(address) => format!("{address}:{port}"),
        IpAddr::V6(address) => format!("[{address}]:{port}"),
    };
    Some(Socket { protocol, port, address: shown, loopback: address.to_canonical().is_loopback() })
}

/// The kernel prints an address as one or four words in this machine's own byte order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (index, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(index * 8)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(local: &str, state: &str) -> String {
        format!(
            "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 1 1"
        )
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_are_in_the_machines_byte_order() {
        let loopback = socket(&line("0100007F:0035", "0A"), Protocol::Tcp).unwrap();
        assert_eq!((loopback.address.as_str(), loopback.loopback), ("127.0.0.1:53", true));
        let any = socket(&line("00000000:0017", "0A"), Protocol::Tcp).unwrap();
        assert_eq!((any.address.as_str(), any.loopback), ("0.0.0.0:23", false));
        let six = socket(&line("00000000000000000000000001000000:0050", "0A"), Protocol::Tcp).unwrap();
        assert_eq!((six.address.as_str(), six.loopback), ("[::1]:80", true));
        let mapped = socket(&line("0000000000000000FFFF00000100007F:0050", "0A"), Protocol::Tcp).unwrap();
        assert!(mapped.loopback);
    }

    #[test]
    fn connections_are_not_listening() {
        assert_eq!(socket(&line("00000000:0017", "01"), Protocol::Tcp), None);
        assert_eq!(socket(&line("00000000:0035", "01"), Protocol::Udp), None);
        assert!(socket(&line("00000000:0035", "07"), Protocol::Udp).is_some());
    }
}
