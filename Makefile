# The newcomer's two commands are `make run` and `make test`; both do all the set-up themselves.
.PHONY: run test sqlx

run:
	@tools/run

test:
	@tools/test

# After touching SQL: renews .sqlx/, which is committed with the query.
sqlx:
	@tools/sqlx prepare
