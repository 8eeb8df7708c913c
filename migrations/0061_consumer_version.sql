-- So that of two admins who change a consumer the slower one is told (If-Match).
alter table consumer add column version bigint not null default 1;
