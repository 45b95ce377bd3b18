grant select, insert, update, delete on
    procrastinate_jobs, procrastinate_events, procrastinate_workers, procrastinate_periodic_defers to digital_twin_app;
grant usage, select on all sequences in schema public to digital_twin_app;

create table run (
    run_id uuid primary key,
    community bigint not null references community on delete cascade,
    kind text not null,
    queue text not null,
    state text not null default 'queued' check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    request jsonb not null,
    created_by bigint references account on delete set null,
    created_at timestamptz not null,
    started_at timestamptz,
    finished_at timestamptz,
    attempt int not null default 0,
    failures int not null default 0,
    job_id bigint,
    done int not null default 0,
    total int not null default 0,
    result_id uuid,
    problem jsonb
);
create index run_of_community on run (community, run_id desc);
create index run_unfinished on run (job_id) where state in ('queued', 'running');

create table run_part (
    run_id uuid not null references run on delete cascade,
    part int not null,
    community bigint not null references community on delete cascade,
    payload bytea not null,
    primary key (run_id, part)
);
create index run_part_of_community on run_part (community);

-- What a Run was given besides its request, such as the readings of an import; gone when the Run has ended.
create table run_input (
    run_id uuid not null references run on delete cascade,
    part int not null,
    community bigint not null references community on delete cascade,
    payload bytea not null,
    primary key (run_id, part)
);
create index run_input_of_community on run_input (community);

create function guard_run() returns trigger language plpgsql as
$$
begin
    if old.state in ('succeeded', 'failed', 'cancelled') and new.state <> old.state then
        raise exception 'run % has ended as %', old.run_id, old.state;
    end if;
    return new;
end
$$;
create trigger guard_run before update on run for each row execute function guard_run();

create table event (
    id bigint generated always as identity primary key,
    community bigint not null references community on delete cascade,
    kind text not null,
    at timestamptz not null default clock_timestamp(),
    document jsonb not null
);
create index event_of_community on event (community, id);
create index event_at on event (community, at);

create function tell_event() returns trigger language plpgsql security definer set search_path from current as
$$
begin
    perform pg_notify('twin_event', (select community_id from community where id = new.community));
    return null;
end
$$;
create trigger tell_event after insert on event for each row execute function tell_event();

-- Runs whose job is gone, or is held by a worker that has not been heard of for so long.
create function lost_runs(silent interval)
    returns table (community_id text, run_id uuid, job_id bigint)
    language sql security definer set search_path from current as
$$
    select c.community_id, r.run_id, r.job_id
    from run r
    join community c on c.id = r.community
    left join procrastinate_jobs j on j.id = r.job_id
    left join procrastinate_workers w on w.id = j.worker_id
    where r.state in ('queued', 'running')
    -- nobody could be heard while the database was away
    and clock_timestamp() - pg_postmaster_start_time() > silent
    and (
        j.id is null
        or j.status not in ('todo', 'doing')
        or (j.status = 'doing' and (w.id is null or w.last_heartbeat < clock_timestamp() - silent))
    )
$$;

create function community_of_run(wanted uuid) returns text
    language sql stable security definer set search_path from current as
$$
    select c.community_id from run r join community c on c.id = r.community where r.run_id = wanted
$$;

alter table run enable row level security;
create policy entered on run to digital_twin_app using (community = (select entered_community()));
alter table run_part enable row level security;
create policy entered on run_part to digital_twin_app using (community = (select entered_community()));
alter table run_input enable row level security;
create policy entered on run_input to digital_twin_app using (community = (select entered_community()));
alter table event enable row level security;
create policy entered on event to digital_twin_app using (community = (select entered_community()));

grant select, insert, update, delete on run, run_part, run_input, event to digital_twin_app;
revoke execute on function lost_runs(interval), community_of_run(uuid) from public;
grant execute on function lost_runs(interval), community_of_run(uuid) to digital_twin_app;
