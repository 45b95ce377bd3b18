-- One member's part of a plan at the level of members; powers are little-endian single precision, column by column.
create table member_plan (
    community bigint not null references community on delete cascade,
    result_id uuid not null references result on delete cascade,
    member_id text not null collate "C",
    cost float8 not null,
    saved float8 not null,
    powers bytea not null,
    primary key (community, result_id, member_id),
    foreign key (community, member_id) references member on delete cascade
);
create index member_plan_of_member on member_plan (community, member_id, result_id desc);
create index member_plan_of_result on member_plan (result_id);

alter table member_plan enable row level security;
create policy entered on member_plan to digital_twin_app using (community = (select entered_community()));

grant select, insert, delete on member_plan to digital_twin_app;
