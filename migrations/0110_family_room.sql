-- A person's families at one client are bounded: the one used longest ago makes room for the next. What is there was held to a narrower rule.
alter table token_family
    drop constraint token_family_end_reason_check,
    add constraint token_family_end_reason_check
        check (end_reason in ('code_replayed', 'refresh_token_replayed', 'signed_out', 'revoked', 'consent_withdrawn', 'too_many')) not valid;
