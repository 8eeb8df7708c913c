//! One person, and a page of them, against the same reads by pgbench.

use super::{Bench, median};
use crate::load::request;

impl Bench {
    pub(super) fn directory(&mut self) {
        let ids: Vec<String> = self
            .postgres
            .sql(
                "bench",
                "select id from \"user\" tablesample system (0.5) limit 4000",
            )
            .lines()
            .map(str::to_owned)
            .collect();
        let people = self.sizes.people as u64;
        let pick = move |n: u64| (n.wrapping_mul(2_654_435_761) % people) + 1;
        let (mut by_id, mut by_email, mut page, mut reads, mut email_reads, mut pages) =
            (vec![], vec![], vec![], vec![], vec![], vec![]);
        for _ in 0..self.sizes.rounds {
            let server = self.server();
            let token = format!("Bearer {}", self.token(&server));
            let headers = [("authorization", token.as_str())];
            by_id.push(
                self.closed(&server, |n| {
                    request(
                        "GET",
                        &format!("/api/v1/users/{}", ids[n as usize % ids.len()]),
                        &headers,
                        None,
                    )
                })
                .per_second(),
            );
            by_email.push(
                self.closed(&server, |n| {
                    request(
                        "GET",
                        &format!("/api/v1/users?email=person{}@example.com", pick(n)),
                        &headers,
                        None,
                    )
                })
                .per_second(),
            );
            page.push(
                self.closed(&server, |_| {
                    request("GET", "/api/v1/users?limit=50", &headers, None)
                })
                .per_second(),
            );
            drop(server);
            let seconds = self.sizes.seconds as u32;
            let columns = "id, version, status, admin, email, email_verified, username, phone_number, phone_number_verified, name, claims, \
                           password_change_required, created_at, updated_at";
            reads.push(self.postgres.pgbench(
                &format!("\\set n random(1, {people})\nselect {columns} from \"user\" where id = (lpad(to_hex(1700000000000 + :n), 12, '0') || '7' || substr(md5(:n::text), 1, 3) || '8' || substr(md5(:n::text), 4, 15))::uuid and deleted_at is null;\n"),
                32, seconds,
            ));
            email_reads.push(self.postgres.pgbench(
                &format!("\\set n random(1, {people})\nselect {columns} from \"user\" where email_folded = 'person' || :n || '@example.com' and deleted_at is null order by id limit 51;\n"),
                32, seconds,
            ));
            pages.push(self.postgres.pgbench(
                &format!("select {columns} from \"user\" where deleted_at is null order by id limit 51;\n"),
                32, seconds,
            ));
        }
        let (reads, email_reads, pages) = (median(reads), median(email_reads), median(pages));
        self.row(
            "user by id, 1 core, 32 connections",
            median(by_id),
            "answers/s",
            "pgbench, the same read",
            reads,
            0.35,
        );
        self.row(
            "user by e-mail",
            median(by_email),
            "answers/s",
            "pgbench, the same read",
            email_reads,
            0.18,
        );
        let rate = median(page);
        self.row(
            "list page of 50",
            rate,
            "answers/s",
            "pgbench, the same page",
            pages,
            0.18,
        );
    }
}
