create table series (
    id int generated always as identity primary key,
    community bigint not null references community on delete cascade,
    name text not null,
    member_id text,
    asset_id text,
    resolution_minutes int not null check (60 % resolution_minutes = 0),
    unique nulls not distinct (community, name, member_id, asset_id),
    foreign key (community, member_id) references member on delete cascade,
    foreign key (community, asset_id) references asset on delete cascade
);

-- Days from open_from on are open: their rows change often and are kept where updates stay on the page.
create table reading_horizon (
    community bigint primary key references community on delete cascade,
    open_from date not null
);

create table reading_open (
    community bigint not null,
    day date not null,
    series int not null references series on delete cascade,
    slots real[] not null,
    primary key (community, day, series)
) with (fillfactor = 45, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

create table reading_closed (
    community bigint not null,
    day date not null,
    series int not null references series on delete cascade,
    slots real[] not null,
    primary key (community, day, series)
);

create table batch (
    id bigint generated always as identity primary key,
    community bigint not null references community on delete cascade,
    key text not null,
    received_at timestamptz not null,
    received int not null,
    stored int not null,
    duplicate int not null,
    corrected int not null,
    superseded int not null,
    unique (community, key)
);
create index batch_received on batch (community, received_at);

-- What a batch changed: first writes and corrections with the values before, so that the past can be read again.
create table journal (
    community bigint not null references community on delete cascade,
    batch bigint not null references batch on delete cascade,
    month date not null,
    resolution_minutes int not null,
    received_at timestamptz not null,
    assumed_delay interval,
    first_day date not null,
    last_day date not null,
    undo bytea not null,
    primary key (community, month, batch, resolution_minutes)
);
alter table journal alter undo set storage external;

create table dirty_day (
    community bigint not null references community on delete cascade,
    day date not null,
    primary key (community, day)
);

create table rollup (
    community bigint not null references community on delete cascade,
    day date not null,
    name text not null,
    resolution_minutes int not null,
    total double precision[] not null,
    reporting int[] not null,
    members int[] not null,
    primary key (community, day, name)
);

-- A member's dates decide which of their readings count: a change makes their days due again.
create function member_dates_changed() returns trigger language plpgsql as
$$
begin
    if tg_op = 'INSERT' or (old.joined_at, old.left_at) is distinct from (new.joined_at, new.left_at) then
        insert into dirty_day
            select new.community, day from rollup where community = new.community group by day
        on conflict do nothing;
    end if;
    return null;
end
$$;
create trigger member_dates after insert or update on member
    for each row execute function member_dates_changed();

create view reading with (security_invoker = true) as
select c.community_id, s.name, s.member_id, s.asset_id,
       r.day::timestamp at time zone 'UTC'
           + (slot.number - 1) * s.resolution_minutes * interval '1 minute' as start,
       slot.value
from (select * from reading_open union all select * from reading_closed) r
join series s on s.id = r.series
join community c on c.id = r.community
cross join lateral unnest(r.slots) with ordinality slot(value, number)
where slot.value <> 'NaN';

alter table series enable row level security;
create policy entered on series to digital_twin_app using (community = (select entered_community()));
alter table reading_horizon enable row level security;
create policy entered on reading_horizon to digital_twin_app using (community = (select entered_community()));
alter table reading_open enable row level security;
create policy entered on reading_open to digital_twin_app using (community = (select entered_community()));
alter table reading_closed enable row level security;
create policy entered on reading_closed to digital_twin_app using (community = (select entered_community()));
alter table batch enable row level security;
create policy entered on batch to digital_twin_app using (community = (select entered_community()));
alter table journal enable row level security;
create policy entered on journal to digital_twin_app using (community = (select entered_community()));
alter table dirty_day enable row level security;
create policy entered on dirty_day to digital_twin_app using (community = (select entered_community()));
alter table rollup enable row level security;
create policy entered on rollup to digital_twin_app using (community = (select entered_community()));

grant select, insert, update, delete on
    series, reading_horizon, reading_open, reading_closed, batch, journal, dirty_day, rollup to digital_twin_app;
grant select on reading to digital_twin_app;
