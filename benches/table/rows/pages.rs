//! The last page of each list against its first, and the first at all people against 10,000.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{Bench, median, post};
use crate::load::{Pace, drive, request};
use crate::machine::{SERVER, run};

impl Bench {
    /// First and last pages of every filtered list, one connection, medians of many.
    pub(super) fn pages(&mut self) {
        self.words();
        let server = self.server();
        let token = format!("Bearer {}", self.token(&server));
        let headers = [("authorization", token.as_str())];
        let since = "2026-01-01T00:00:00Z";
        let mut first_of_all = 0.0;
        for filter in [
            "",
            "status=active&",
            "status=disabled&",
            &format!("updated_since={since}&"),
            &format!("status=active&updated_since={since}&"),
            "sort=name&",
            "status=active&sort=name&",
            "q=person&",
        ] {
            let first = request(
                "GET",
                &format!("/api/v1/users?{filter}limit=50"),
                &headers,
                None,
            );
            // The last page: the cursor of a page that begins near the end is had by asking for what was changed last, so walk there by
            // pages of 200 from a late start where the filter allows it; otherwise through the whole list.
            let mut after = String::new();
            let mut last = first.clone();
            loop {
                let path = format!(
                    "/api/v1/users?{filter}limit=200{}",
                    if after.is_empty() {
                        String::new()
                    } else {
                        format!("&after={after}")
                    }
                );
                let (_, body) =
                    post(server.address, &request("GET", &path, &headers, None)).expect("a page");
                let page: Value = serde_json::from_str(&body).expect("JSON");
                match page["next"].as_str() {
                    Some(next) => {
                        after = next.to_owned();
                        last = request(
                            "GET",
                            &format!("/api/v1/users?{filter}limit=50&after={after}"),
                            &headers,
                            None,
                        );
                    }
                    None => break,
                }
            }
            let time = |bytes: &[u8]| {
                let mut report = drive(
                    server.address,
                    1,
                    &Pace::Closed,
                    Duration::from_secs(1),
                    |_| bytes.to_vec(),
                );
                assert_eq!(report.answered, report.by_class[2]);
                report.quantile_ms(0.5)
            };
            let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
            for _ in 0..self.sizes.rounds {
                firsts.push(time(&first));
                lasts.push(time(&last));
            }
            let (first, last) = (median(firsts), median(lasts));
            if filter.is_empty() {
                first_of_all = first;
            }
            let name = if filter.is_empty() {
                "all"
            } else {
                filter.trim_end_matches('&')
            };
            self.at_most(
                &format!("last page against first, {name}"),
                last / first,
                "×",
                &format!("{first:.2} ms and {last:.2} ms"),
                1.6,
            );
        }
        drop(server);
        // The same at 10,000 people.
        self.postgres.sql("postgres", "create database small");
        let url = self.postgres.url().replace("/bench?", "/small?");
        let cli = self
            .command(Command::new(env!("CARGO_BIN_EXE_doorward")))
            .env("DATABASE_URL", &url)
            .arg("migrate")
            .status();
        assert!(cli.expect("it runs").success());
        drop(std::fs::remove_dir(self.keys.join("none")));
        let columns = "id, version, status, admin, email, email_folded, email_verified, username, username_folded, phone_number, phone_number_verified, name, claims, password_hash, password_change_required, tokens_valid_from, created_at, updated_at, name_folded";
        let copy = format!(
            "set -e; {psql} bench -c \"copy (select {columns} from \\\"user\\\" order by id limit 10000) to stdout\" | {psql} small -c \"copy \\\"user\\\" ({columns}) from stdin\"; \
             for t in client client_secret signing_key; do {psql} bench -c \"copy $t to stdout\" | {psql} small -c \"copy $t from stdin\"; done; {psql} small -c 'vacuum analyze'",
            psql = format!(
                "psql -X -q -h {} -U postgres -d",
                self.postgres.socket().display()
            ),
        );
        run(Command::new("sh").args(["-c", &copy]));
        let server = self.server_on(SERVER, &[("DATABASE_URL", &url)]);
        let token = format!("Bearer {}", self.token(&server));
        let headers = [("authorization", token.as_str())];
        let bytes = request("GET", "/api/v1/users?limit=50", &headers, None);
        let times: Vec<f64> = (0..self.sizes.rounds)
            .map(|_| {
                drive(
                    server.address,
                    1,
                    &Pace::Closed,
                    Duration::from_secs(1),
                    |_| bytes.clone(),
                )
                .quantile_ms(0.5)
            })
            .collect();
        let small = median(times);
        self.at_most(
            "first page at all people against 10,000",
            first_of_all / small,
            "×",
            &format!("{small:.2} ms and {first_of_all:.2} ms"),
            1.5,
        );
    }
}
