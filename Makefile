# The newcomer's two commands are `make run` and `make test`; both do all the set-up themselves.
.PHONY: run test demo bench faults walk sqlx

run:
	@tools/run

test:
	@tools/test

# A few thousand made-up people and two clients, in the server that runs.
demo:
	@tools/demo

# The figures of docs/performance.md, and the faults of docs/reliability.md, on this machine.
bench:
	@tools/bench

faults:
	@tools/faults

# Every answer of the API held against /openapi.json.
walk:
	@tools/walk

# After touching SQL: renews .sqlx/, which is committed with the query.
sqlx:
	@tools/sqlx prepare
