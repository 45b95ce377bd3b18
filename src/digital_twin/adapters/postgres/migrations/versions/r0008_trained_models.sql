-- The payload is numpy's npz, read without pickle: nothing in it can be executed.
create table trained_model (
    community bigint not null references community on delete cascade,
    variable text not null,
    model text not null,
    version int not null check (version > 0),
    run_id uuid not null,
    trained_at timestamptz not null,
    as_of timestamptz not null,
    data_start timestamptz not null,
    data_end timestamptz not null,
    data_sha256 bytea not null check (length(data_sha256) = 32),
    resolution_minutes int not null,
    code_version text not null,
    payload_format int not null,
    sha256 bytea not null check (length(sha256) = 32),
    scores jsonb not null,
    payload bytea not null,
    primary key (community, variable, model, version),
    unique (community, variable, model, run_id)
);
alter table trained_model alter payload set storage external;

alter table trained_model enable row level security;
create policy entered on trained_model to digital_twin_app using (community = (select entered_community()));
grant select, insert, delete on trained_model to digital_twin_app;
