//! Creating a person against the same inserts by pgbench.

use std::time::Duration;

use super::{Bench, median};
use crate::load::{Pace, drive, request};

impl Bench {
    pub(super) fn creates(&mut self) {
        self.words();
        let (mut rates, mut commits) = (Vec::new(), Vec::new());
        for round in 0..self.sizes.rounds {
            let server = self.server();
            let token = format!("Bearer {}", self.token(&server));
            let headers = [("authorization", token.as_str())];
            let mut n = 0;
            let report = drive(
                server.address,
                32,
                &Pace::Closed,
                Duration::from_secs(self.sizes.seconds),
                |_| {
                    n += 1;
                    let body =
                        format!(r#"{{"email":"made-{round}-{n}@example.com","name":"Made {n}"}}"#);
                    request(
                        "POST",
                        "/api/v1/users",
                        &headers,
                        Some(("application/json", &body)),
                    )
                },
            );
            assert_eq!(report.answered, report.by_class[2], "{:?}", report.by_class);
            rates.push(report.per_second());
            drop(server);
            commits.push(self.postgres.pgbench(
                &format!(
                    "\\set n random(1, 1000000000)\nbegin;\n\
                     insert into \"user\" (id, status, admin, email, email_folded, email_verified, phone_number_verified, name, claims, password_change_required, tokens_valid_from, created_at, updated_at, name_folded)\n \
                     values (gen_random_uuid(), 'active', false, 'pgb{round}-' || :n || '-' || random()::text, 'pgb{round}-' || :n || '-' || random()::text, false, false, 'Made', '{{}}', false, '2026-11-25', '2026-11-25', '2026-11-25', 'made');\n\
                     insert into user_word (suffix, user_id) select suffix, gen_random_uuid() from unnest(array['made', 'ade', :n::text, right(:n::text, 5), right(:n::text, 4), right(:n::text, 3), 'example', 'xample', 'ample', 'mple', 'ple', 'com']) suffix;\n\
                     insert into event (type, user_id, version, occurred_at) values ('user.created', '00000000-0000-7000-8000-000000000000', 1, '2026-11-25');\n\
                     insert into audit (id, occurred_at, action, actor_kind, actor_id, target_kind, target_id, after, ip, request_id)\n \
                     values (gen_random_uuid(), '2026-11-25', 'user.created', 'client', 'c_pgbench', 'user', 'x', jsonb_build_object('email', 'made@example.com', 'name', 'Made', 'status', 'active', 'admin', false), '127.0.0.1', 'x');\n\
                     commit;\n"
                ),
                32, self.sizes.seconds as u32,
            ));
        }
        self.row(
            "create a user",
            median(rates),
            "commits/s",
            "pgbench, the same inserts",
            median(commits),
            0.35,
        );
        self.postgres.sql(
            "bench",
            "delete from \"user\" where email like 'made-%' or email like 'pgb%'",
        );
        self.postgres.sql("bench", "vacuum analyze \"user\"");
    }
}
