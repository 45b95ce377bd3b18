-- Flags of readings that are not plainly measured: one byte a slot, only rows that hold any.
create table reading_flag (
    community bigint not null,
    day date not null,
    series int not null,
    flags bytea not null,
    primary key (community, day, series)
);

-- Days of more than 288 slots lie in pieces. What is deleted from the tables of whole days goes from these, too.
create table reading_open_piece (
    piece smallint not null,
    primary key (community, day, series, piece)
) inherits (reading_open)
    with (fillfactor = 45, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
create table reading_closed_piece (
    piece smallint not null,
    primary key (community, day, series, piece)
) inherits (reading_closed);

create function move_to_pieces(whole regclass, pieces regclass) returns void language plpgsql as
$$
begin
    execute format(
        'with fine as (delete from only %s where array_length(slots, 1) > 288 returning *),
         sized as (select *, ceil(array_length(slots, 1) / 288.0)::int as n from fine)
         insert into %s (community, day, series, slots, piece)
         select community, day, series, slots[1 + piece * array_length(slots, 1) / n
                                              : (piece + 1) * array_length(slots, 1) / n], piece
         from sized, generate_series(0, n - 1) piece', whole, pieces);
end
$$;
select move_to_pieces('reading_open', 'reading_open_piece'), move_to_pieces('reading_closed', 'reading_closed_piece');
drop function move_to_pieces;

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
           + (r.first_slot + slot.number - 1) * s.resolution_minutes * interval '1 minute' as start,
       slot.value,
       (array['measured', 'estimated', 'substituted', 'suspect'])
           [1 + coalesce(get_byte(f.flags, r.first_slot + slot.number::int - 1), 0)] as quality
from (
    select community, day, series, slots, 0 as first_slot from only reading_open
    union all select community, day, series, slots, 0 from only reading_closed
    union all select community, day, series, slots, piece * array_length(slots, 1) from reading_open_piece
    union all select community, day, series, slots, piece * array_length(slots, 1) from reading_closed_piece
) r
join series s on s.id = r.series
join community c on c.id = r.community
left join reading_flag f on (f.community, f.day, f.series) = (r.community, r.day, r.series)
cross join lateral unnest(r.slots) with ordinality slot(value, number)
where slot.value <> 'NaN';
comment on column reading.quality is 'what the source said of the value: measured, estimated, substituted or suspect';

alter table reading_open_piece enable row level security;
create policy entered on reading_open_piece to digital_twin_app using (community = (select entered_community()));
alter table reading_closed_piece enable row level security;
create policy entered on reading_closed_piece to digital_twin_app using (community = (select entered_community()));
alter table reading_flag enable row level security;
create policy entered on reading_flag to digital_twin_app using (community = (select entered_community()));
grant select, insert, update, delete on reading_open_piece, reading_closed_piece, reading_flag to digital_twin_app;
