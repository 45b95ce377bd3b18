-- The question of a plan that is too large or too personal to stand in its result; what members use is in it.
create table plan_question (
    community bigint not null references community on delete cascade,
    result_id uuid not null references result on delete cascade,
    payload bytea not null,
    primary key (community, result_id)
);
create index plan_question_of_result on plan_question (result_id);

alter table plan_question enable row level security;
create policy entered on plan_question to digital_twin_app using (community = (select entered_community()));

grant select, insert, delete on plan_question to digital_twin_app;
