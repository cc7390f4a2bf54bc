-- Those of the future are of a clock that was set back since.
DELETE FROM fleet_samples
WHERE at NOT BETWEEN now() - make_interval(hours => :kept_hours) AND now() + interval '1 hour'
