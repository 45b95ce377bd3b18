-- A forecast of one local day as it was issued. Arrays are little-endian single precision; quantiles step by step.
create table issued_forecast (
    community bigint not null references community on delete cascade,
    variable text not null,
    starts_at timestamptz not null,
    issued_at timestamptz not null,
    resolution_minutes int not null,
    model text not null,
    levels float8[] not null,
    mean bytea not null,
    quantiles bytea not null,
    naive_quantiles bytea,
    primary key (community, variable, starts_at)
);

-- When the forecasts of a community are looked after next, and what was found of them.
create table forecast_care (
    community bigint primary key references community on delete cascade,
    next_look_at timestamptz not null,
    next_issue_at timestamptz not null,
    next_training_at timestamptz not null,
    drift jsonb not null,
    version bigint not null
);

-- As the owner: in platform scope the application's role sees no community's rows.
create function forecasts_due(now timestamptz) returns table (community_id text)
    language sql stable security definer set search_path from current as
$$
    select c.community_id from community c left join forecast_care f on f.community = c.id
    where f.next_look_at is null or f.next_look_at <= now
    order by f.next_look_at nulls last, c.community_id
$$;

alter table issued_forecast enable row level security;
create policy entered on issued_forecast to digital_twin_app using (community = (select entered_community()));
alter table forecast_care enable row level security;
create policy entered on forecast_care to digital_twin_app using (community = (select entered_community()));

grant select, insert, delete on issued_forecast to digital_twin_app;
grant select, insert, update, delete on forecast_care to digital_twin_app;
revoke execute on function forecasts_due(timestamptz) from public;
grant execute on function forecasts_due(timestamptz) to digital_twin_app;
