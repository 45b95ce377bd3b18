-- The newest state of a community and the model that it moves on with; bytes of our own format, nothing executable.
create table state_snapshot (
    community bigint primary key references community on delete cascade,
    version bigint not null,
    setup text not null,
    observed_at timestamptz not null,
    calibrated_until timestamptz not null,
    calibrated_days double precision not null,
    model bytea not null,
    state bytea not null
);
alter table state_snapshot alter model set storage external;

-- States at UTC midnights of the last days, from which late readings are taken up.
create table state_checkpoint (
    community bigint not null references community on delete cascade,
    at timestamptz not null,
    state bytea not null,
    primary key (community, at)
);

-- What was answered since when: one row an advance.
create table state_known (
    community bigint not null references community on delete cascade,
    known_at timestamptz not null,
    document jsonb not null,
    primary key (community, known_at)
);

-- The history as it is known today, a row a UTC day. The four estimates stand one after the other in mean and
-- deviation: demand_kw, pv_kw, net_load_kw, storage_soc_kwh.
create table state_day (
    community bigint not null references community on delete cascade,
    day date not null,
    resolution_minutes int not null,
    coverage real[] not null,
    nis real[] not null,
    reporting int[] not null,
    mean real[] not null,
    deviation real[] not null,
    primary key (community, day)
);

-- Changed stretches that no state has seen yet: a row an ingest, deleted by who has seen it.
create table state_due (
    id bigint generated always as identity primary key,
    community bigint not null references community on delete cascade,
    changed_from timestamptz not null,
    changed_until timestamptz not null
);
create index state_due_of_community on state_due (community);

insert into state_due (community, changed_from, changed_until)
select s.community, min(r.day)::timestamp at time zone 'UTC', (max(r.day) + 1)::timestamp at time zone 'UTC'
from (select series, min(day) as day from reading_open group by series
      union all select series, max(day) from reading_open group by series
      union all select series, min(day) from reading_closed group by series
      union all select series, max(day) from reading_closed group by series) r
join series s on s.id = r.series
where s.asset_id is null and s.name in ('load_kw', 'pv_kw', 'net_load_kw', 'storage_soc_kwh')
group by s.community;

-- As the owner: in platform scope the application's role sees no community's rows.
create function communities_with_state_due(now timestamptz) returns table (community_id text)
    language sql stable security definer set search_path from current as
$$
    select c.community_id from community c
    where exists (select from state_due d where d.community = c.id and d.changed_from < now)
    order by c.community_id
$$;

alter table state_snapshot enable row level security;
create policy entered on state_snapshot to digital_twin_app using (community = (select entered_community()));
alter table state_checkpoint enable row level security;
create policy entered on state_checkpoint to digital_twin_app using (community = (select entered_community()));
alter table state_known enable row level security;
create policy entered on state_known to digital_twin_app using (community = (select entered_community()));
alter table state_day enable row level security;
create policy entered on state_day to digital_twin_app using (community = (select entered_community()));
alter table state_due enable row level security;
create policy entered on state_due to digital_twin_app using (community = (select entered_community()));

grant select, insert, update, delete on state_snapshot, state_checkpoint, state_known, state_day, state_due
    to digital_twin_app;
grant usage, select on sequence state_due_id_seq to digital_twin_app;
revoke execute on function communities_with_state_due(timestamptz) from public;
grant execute on function communities_with_state_due(timestamptz) to digital_twin_app;
