-- A foreign key would search all readings for each series that goes: their key begins with the community.
alter table reading_open drop constraint reading_open_series_fkey;
alter table reading_closed drop constraint reading_closed_series_fkey;

-- As the owner: a community is deleted in platform scope, where the application's role sees no readings.
create function forget_readings() returns trigger language plpgsql security definer set search_path from current as
$$
declare
    one bigint;
    ids int[];  -- not a join, which may search the community once for each series
begin
    for one, ids in select community, array_agg(id) from gone group by community loop
        delete from reading_open where community = one and series = any (ids);
        delete from reading_closed where community = one and series = any (ids);
    end loop;
    return null;
end
$$;
create trigger forget_readings after delete on series referencing old table as gone
    for each statement execute function forget_readings();

-- All series of a community in one statement, before its members take theirs along one by one.
create function forget_series() returns trigger language plpgsql security definer set search_path from current as
$$
begin
    delete from series where community = old.id;
    return old;
end
$$;
create trigger forget_series before delete on community for each row execute function forget_series();
create index series_member on series (community, member_id);

-- The same for the journal of a batch.
create index journal_batch on journal (batch);
create index asset_member on asset (community, member_id);
create index series_asset on series (community, asset_id);

create index idempotency_created on idempotency (created_at);
create index invite_expires on invite (expires_at);
create index session_expires on session (expires_at);

revoke execute on function enter_community(text) from public;
grant execute on function enter_community(text) to digital_twin_app;

comment on view reading is
    'One row a reading: who, when the interval starts (UTC), value in the unit that the name ends in. '
    'For the application''s role only those of the community entered with enter_community(community_id).';
comment on column reading.start is 'start of the interval [start, start + resolution), UTC';
comment on table rollup is 'Sums over members by UTC day; may lack days named in dirty_day until they are asked for.';
