-- Hours from the end of each interval to the first estimate of it; nobody knows of those kept before.
alter table state_day add column told_after_h real[];
update state_day set told_after_h = array_fill('NaN'::real, array[1440 / resolution_minutes]);
alter table state_day alter told_after_h set not null;
