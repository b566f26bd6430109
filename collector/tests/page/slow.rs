//! Visitors who hold a connection without using it.

use std::time::Duration;

use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use wardwatch_collector::store::users::Role;
use wardwatch_tests::database::Database;

use crate::site::Site;

#[tokio::test]
async fn a_form_that_does_not_end_is_answered_and_its_connection_closed() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    let mut open = TcpStream::connect(site.address).await.unwrap();
    let head = "POST /sign-in HTTP/1.1\r\nhost: ward\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                content-length: 60\r\n\r\nu";
    open.write_all(head.as_bytes()).await.unwrap();
    let begun = Instant::now();
    let mut answer = String::new();
    timeout(Duration::from_secs(25), open.read_to_string(&mut answer)).await.expect("it ends").unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(10), "a slow link has its time");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("quá chậm"), "{answer}");
}

#[tokio::test]
async fn a_page_that_waits_for_news_stays_open() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    let mut clerk = site.signed_in("lan", Role::Staff).await;
    let live = clerk.request(Method::GET, "/live");
    let mut live = clerk.send(live).await;
    let news = timeout(Duration::from_secs(30), live.chunk()).await.expect("a sign of life").unwrap();
    assert!(news.is_some(), "it did not end");
}
