//! Calls to the running collector over its HTTP API on this machine.

mod alerts;
mod endpoints;
mod incidents;
mod releases;
mod users;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::Value;

use super::{Connection, Output};
use crate::admin::{self, AdminToken};
use crate::{addresses, service};

pub(super) use alerts::Alerts;
pub(super) use endpoints::{Endpoints, Token, Units};
pub(super) use incidents::Incidents;
pub(super) use releases::Releases;
pub(super) use users::Users;

/// How long the collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The running collector.
struct Client {
    http: reqwest::Client,
    base: String,
    token: AdminToken,
    output: Output,
}

#[derive(Deserialize)]
struct Refusal {
    problem: String,
    remedy: String,
}

impl Client {
    fn connect(connection: Connection) -> Result<Self> {
        let Connection { data_dir, output } = connection;
        let addresses = addresses::read(&data_dir)?;
        let token = admin::read_token(&data_dir)?;
        let mut http = reqwest::Client::builder().timeout(PATIENCE).no_proxy();
        if addresses.web.starts_with("https:") {
            let ca: PathBuf = service::authority_dir(&data_dir).join("ca.pem");
            let pem = std::fs::read(&ca).with_context(|| format!("{} cannot be read", ca.display()))?;
            http = http.tls_certs_only([reqwest::Certificate::from_pem(&pem)?]);
        }
        Ok(Self { http: http.build()?, base: addresses.web, token, output })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(self.token.secret())
    }

    async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value> {
        self.answer(self.request(Method::GET, path).query(query)).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.answer(self.request(Method::POST, path).json(body)).await
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Value> {
        let response = request.send().await.with_context(|| {
            format!("the collector does not answer at {}; start it, or look at its log", self.base)
        })?;
        let status = response.status();
        let body = response.bytes().await.context("the collector's answer broke off; try again")?;
        if status.is_success() {
            return serde_json::from_slice(&body).context("the collector's answer is not of the API's form");
        }
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(Refusal { problem, remedy }) if remedy.is_empty() => bail!("{problem}"),
            Ok(Refusal { problem, remedy }) => bail!("{problem}; {remedy}"),
            Err(_) => bail!("the collector answered {status}; look at its log"),
        }
    }

    /// All rows of a list that comes in pages.
    async fn all(&self, path: &str, query: &[(&str, String)]) -> Result<Value> {
        let mut rows = Vec::new();
        for page in 1_u32.. {
            let mut query = query.to_vec();
            query.push(("page", page.to_string()));
            let mut answer = self.get(path, &query).await?;
            let total = answer["total"].as_u64().unwrap_or(0);
            let Value::Array(more) = answer["rows"].take() else { break };
            if more.is_empty() {
                break;
            }
            rows.extend(more);
            if rows.len() as u64 >= total {
                break;
            }
        }
        Ok(Value::Array(rows))
    }

    fn list(&self, rows: &Value, columns: &[(&str, &str)], empty: &str) -> Result<ExitCode> {
        super::show::list(self.output, rows, columns, empty)?;
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self, object: &Value) -> Result<ExitCode> {
        super::show::object(self.output, object)?;
        Ok(ExitCode::SUCCESS)
    }
}
