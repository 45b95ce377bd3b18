-- The role under which the application works: no owner, no superuser, bound by row-level security.
do $$
begin
    if not exists (select from pg_roles where rolname = 'digital_twin_app') then
        create role digital_twin_app nologin nosuperuser nobypassrls nocreatedb nocreaterole;
    end if;
    execute format('grant digital_twin_app to %I', current_user);
exception
    when duplicate_object or unique_violation then null;  -- made by another database of this server meanwhile
end
$$;

create table account (
    id bigint generated always as identity primary key,
    username text not null,
    email text not null,
    role text not null check (role in ('admin', 'operator', 'viewer', 'api_user')),
    requested_role text,
    password_hash text not null,
    active boolean not null default true,
    created_at timestamptz not null default clock_timestamp()
);
create unique index account_username on account (lower(username));
create unique index account_email on account (lower(email));

create table session (
    id text primary key,
    account bigint not null references account on delete cascade,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    last_used_at timestamptz not null,
    token_hash bytea not null,
    previous_hash bytea,
    rotated_at timestamptz,
    revoked boolean not null default false
);
create index session_account on session (account);

create table api_key (
    id text primary key,
    account bigint not null references account on delete cascade,
    name text not null,
    secret_hash bytea not null,
    scopes text[] not null,
    communities text[] not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    last_used_at timestamptz,
    revoked boolean not null default false
);
create index api_key_account on api_key (account);

create table idempotency (
    scope text not null,
    key text not null,
    fingerprint bytea not null,
    status int not null default 0,
    headers jsonb not null default '{}',
    body bytea not null default '',
    created_at timestamptz not null default clock_timestamp(),
    primary key (scope, key)
);

create table community (
    id bigint generated always as identity primary key,
    community_id text not null unique check (community_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    document jsonb not null,
    version int not null default 1,
    created_at timestamptz not null default clock_timestamp()
);

create table invite (
    token_hash bytea primary key,
    role text not null,
    community_id text,
    member_id text,
    created_by bigint,
    expires_at timestamptz not null
);

create table membership (
    community bigint not null references community on delete cascade,
    account bigint not null references account on delete cascade,
    role text not null,
    member_id text,
    valid_from timestamptz,
    valid_until timestamptz,
    primary key (community, account)
);
create index membership_account on membership (account);

create table member (
    community bigint not null references community on delete cascade,
    member_id text not null,
    document jsonb not null,
    joined_at timestamptz,
    left_at timestamptz,
    primary key (community, member_id)
);

create table asset (
    community bigint not null references community on delete cascade,
    asset_id text not null,
    member_id text,
    document jsonb not null,
    primary key (community, asset_id),
    foreign key (community, member_id) references member on delete cascade
);

create table result (
    result_id uuid primary key,
    community bigint not null references community on delete cascade,
    kind text not null,
    created_at timestamptz not null,
    document jsonb not null
);
create index result_of_community on result (community, result_id desc);

-- The second wall. A transaction sees one community's rows after entering it, the list of communities and
-- memberships in platform scope, and nothing at all without either.

create function entered_community() returns bigint language sql stable
    return nullif(current_setting('digital_twin.community', true), '')::bigint;

create function in_platform_scope() returns boolean language sql stable
    return coalesce(current_setting('digital_twin.scope', true), '') = 'platform';

create function enter_community(name text) returns bigint language plpgsql security definer
    set search_path from current as
$$
declare
    found bigint;
begin
    select id into found from community where community_id = name;
    perform set_config('digital_twin.community', coalesce(found::text, ''), true);
    return found;
end
$$;

alter table community enable row level security;
create policy entered_or_platform on community to digital_twin_app
    using (id = (select entered_community()) or (select in_platform_scope()));

alter table membership enable row level security;
create policy entered_or_platform on membership to digital_twin_app
    using (community = (select entered_community()) or (select in_platform_scope()));

alter table member enable row level security;
create policy entered on member to digital_twin_app using (community = (select entered_community()));
alter table asset enable row level security;
create policy entered on asset to digital_twin_app using (community = (select entered_community()));
alter table result enable row level security;
create policy entered on result to digital_twin_app using (community = (select entered_community()));

grant usage on schema public to digital_twin_app;
grant select, insert, update, delete on
    account, session, api_key, idempotency, community, invite, membership, member, asset, result to digital_twin_app;
grant execute on function enter_community(text) to digital_twin_app;
