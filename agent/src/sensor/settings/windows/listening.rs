//! The addresses on which programs listen, by the system's tables.
#![expect(unsafe_code, reason = "no safe crate reads these tables without what the agent does not need")]

use std::ffi::c_void;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use windows_sys::Win32::Foundation::{ERROR_INSUFFICIENT_BUFFER, NO_ERROR};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    GetExtendedTcpTable, GetExtendedUdpTable, TCP_TABLE_OWNER_PID_LISTENER, UDP_TABLE_OWNER_PID,
};
use windows_sys::Win32::Networking::WinSock::{AF_INET, AF_INET6};

/// The largest table that is read, in bytes.
const MAX_TABLE_BYTES: u32 = 16 * 1024 * 1024;
/// How often a table may have grown between the question for its size and that for itself.
const MAX_TRIES: usize = 8;

/// Where the address and the port of a row stand, counted in words of 32 bits, and how many words a row has.
struct Layout {
    address: usize,
    port: usize,
    words: usize,
    is_ipv6: bool,
}

// `MIB_TCPROW_OWNER_PID`, `MIB_TCP6ROW_OWNER_PID`, `MIB_UDPROW_OWNER_PID`, `MIB_UDP6ROW_OWNER_PID`.
const TCP4: Layout = Layout { address: 1, port: 2, words: 6, is_ipv6: false };
const TCP6: Layout = Layout { address: 0, port: 5, words: 14, is_ipv6: true };
const UDP4: Layout = Layout { address: 0, port: 1, words: 3, is_ipv6: false };
const UDP6: Layout = Layout { address: 0, port: 5, words: 7, is_ipv6: true };

/// The listening TCP sockets.
///
/// # Errors
/// The system does not give its tables, or they are larger than any machine's should be.
pub(super) fn tcp() -> io::Result<Vec<SocketAddr>> {
    let of = |family| {
        table(|buffer, size| {
            // SAFETY: `table` gives a buffer of `size` bytes, or none with a size of zero.
            unsafe {
                GetExtendedTcpTable(buffer, size, 0, u32::from(family), TCP_TABLE_OWNER_PID_LISTENER, 0)
            }
        })
    };
    Ok([rows(&of(AF_INET)?, &TCP4), rows(&of(AF_INET6)?, &TCP6)].concat())
}

/// The UDP sockets. Whether one only speaks to a single other machine is not told.
///
/// # Errors
/// As [`tcp`].
pub(super) fn udp() -> io::Result<Vec<SocketAddr>> {
    let of = |family| {
        table(|buffer, size| {
            // SAFETY: as above.
            unsafe { GetExtendedUdpTable(buffer, size, 0, u32::from(family), UDP_TABLE_OWNER_PID, 0) }
        })
    };
    Ok([rows(&of(AF_INET)?, &UDP4), rows(&of(AF_INET6)?, &UDP6)].concat())
}

/// A table as words, the first of which is the number of rows.
fn table(ask: impl Fn(*mut c_void, *mut u32) -> u32) -> io::Result<Vec<u32>> {
    let mut words = Vec::<u32>::new();
    for _ in 0..MAX_TRIES {
        let mut size = u32::try_from(words.len() * size_of::<u32>()).unwrap_or(0);
        match ask(words.as_mut_ptr().cast(), &raw mut size) {
            NO_ERROR => return Ok(words),
            ERROR_INSUFFICIENT_BUFFER if size <= MAX_TABLE_BYTES => {
                words = vec![0; size.div_ceil(4).try_into().unwrap_or(0)];
            }
            ERROR_INSUFFICIENT_BUFFER => break,
            error => return Err(io::Error::from_raw_os_error(error.cast_signed())),
        }
    }
    Err(io::Error::other("there are too many sockets"))
}

fn rows(table: &[u32], layout: &Layout) -> Vec<SocketAddr> {
    let Some((count, rows)) = table.split_first() else { return Vec::new() };
    let count = usize::try_from(*count).unwrap_or(usize::MAX);
    rows.chunks_exact(layout.words).take(count).map(|row| address(row, layout)).collect()
}

/// Addresses and ports stand in the order of the network, a port in the lower half of its word.
fn address(row: &[u32], layout: &Layout) -> SocketAddr {
    let word = |index: usize| row[layout.address + index].to_ne_bytes();
    let ip: IpAddr = if layout.is_ipv6 {
        let mut bytes = [0; 16];
        for (index, four) in bytes.chunks_exact_mut(4).enumerate() {
            four.copy_from_slice(&word(index));
        }
        Ipv6Addr::from(bytes).into()
    } else {
        Ipv4Addr::from(word(0)).into()
    };
    let port = row[layout.port].to_ne_bytes();
    SocketAddr::new(ip, u16::from_be_bytes([port[0], port[1]]))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn a_socket_of_this_process_is_listed_with_its_address() {
        let tcp_socket = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(tcp().unwrap().contains(&tcp_socket.local_addr().unwrap()));
        let udp_socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(udp().unwrap().contains(&udp_socket.local_addr().unwrap()));
    }

    #[test]
    fn a_table_that_names_more_rows_than_it_has_gives_those_it_has() {
        let table = [9, 2, 0x0100_007f, 0x1700, 0, 0, 4];
        assert_eq!(rows(&table, &TCP4), ["127.0.0.1:23".parse().unwrap()]);
        assert!(rows(&[], &TCP4).is_empty());
    }
}
