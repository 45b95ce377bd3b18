-- Flags of readings that are not plainly measured: one byte a slot, only rows that hold any.
create table reading_flag (
    community bigint not null,
    day date not null,
    series int not null,
    flags bytea not null,
    primary key (community, day, series)
);

-- A batch that is merged in portions has an entry for each.
alter table journal add column part int not null default 0;
alter table journal drop constraint journal_pkey;
alter table journal add primary key (community, month, batch, resolution_minutes, part);

-- As the owner: a community is deleted in platform scope, where the application's role sees no readings.
create or replace function forget_readings() returns trigger language plpgsql security definer
    set search_path from current as
$$
declare
    one bigint;
    ids int[];  -- not a join, which may search the community once for each series
begin
    for one, ids in select community, array_agg(id) from gone group by community loop
        delete from reading_open where community = one and series = any (ids);
        delete from reading_closed where community = one and series = any (ids);
        delete from reading_flag where community = one and series = any (ids);
    end loop;
    return null;
end
$$;

create or replace view reading with (security_invoker = true) as
select c.community_id, s.name, s.member_id, s.asset_id,
       r.day::timestamp at time zone 'UTC'
           + (slot.number - 1) * s.resolution_minutes * interval '1 minute' as start,
       slot.value,
       (array['measured', 'estimated', 'substituted', 'suspect'])
           [1 + coalesce(get_byte(f.flags, slot.number::int - 1), 0)] as quality
from (select * from reading_open union all select * from reading_closed) r
join series s on s.id = r.series
join community c on c.id = r.community
left join reading_flag f on (f.community, f.day, f.series) = (r.community, r.day, r.series)
cross join lateral unnest(r.slots) with ordinality slot(value, number)
where slot.value <> 'NaN';
comment on column reading.quality is 'what the source said of the value: measured, estimated, substituted or suspect';

alter table reading_flag enable row level security;
create policy entered on reading_flag to digital_twin_app using (community = (select entered_community()));
grant select, insert, update, delete on reading_flag to digital_twin_app;
