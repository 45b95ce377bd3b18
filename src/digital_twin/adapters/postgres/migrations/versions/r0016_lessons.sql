-- What the members of an ensemble are worth, as it was trained; nothing is known of those kept before.
alter table trained_model add column ensemble jsonb;

-- What the days since its training taught a version; each stays as long as the version does.
create table trained_model_lesson (
    community bigint not null references community on delete cascade,
    variable text not null,
    model text not null,
    version int not null,
    as_of timestamptz not null,
    taught_at timestamptz not null,
    data_sha256 bytea not null check (length(data_sha256) = 32),
    code_version text not null,
    sha256 bytea not null check (length(sha256) = 32),
    ensemble jsonb,
    payload bytea not null,
    primary key (community, variable, model, version, as_of),
    foreign key (community, variable, model, version) references trained_model on delete cascade
);
alter table trained_model_lesson enable row level security;
create policy entered on trained_model_lesson to digital_twin_app
    using (community = (select entered_community()));
grant select, insert, delete on trained_model_lesson to digital_twin_app;

-- When a training last found too little to learn from.
alter table forecast_care add column lacked_history_at timestamptz;

-- Whether readings of days long over came after this instant, as they do when a history is imported.
create function history_came(community bigint, since timestamptz) returns boolean
    language sql stable set search_path from current as
$$
    select exists (
        select from journal j
        where j.community = history_came.community and j.received_at > since
            and j.first_day < (j.received_at at time zone 'UTC')::date - 7
    )
$$;

create or replace function forecasts_due(now timestamptz) returns table (community_id text)
    language sql stable security definer set search_path from current as
$$
    select c.community_id from community c left join forecast_care f on f.community = c.id
    where f.next_look_at is null or f.next_look_at <= now or history_came(c.id, f.lacked_history_at)
    order by f.next_look_at nulls last, c.community_id
$$;

revoke execute on function history_came(bigint, timestamptz) from public;
grant execute on function history_came(bigint, timestamptz) to digital_twin_app;
