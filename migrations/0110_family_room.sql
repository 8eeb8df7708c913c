-- A person's families at one client are bounded: the one used longest ago makes room for the next.
alter table token_family
    drop constraint token_family_end_reason_check,
    add constraint token_family_end_reason_check
        check (end_reason in ('code_replayed', 'refresh_token_replayed', 'signed_out', 'revoked', 'consent_withdrawn', 'too_many'));

-- Those that have not ended, of which there are few; without the time of use, which every refresh moves.
create index token_family_open_idx on token_family (user_id, client_id) where ended_at is null;
