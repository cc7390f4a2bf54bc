-- Whether the fleet is paused, and which workers live, counted by what they can do: what jobs that wait are told by.
-- Nothing in it says which machines those are, or whose work they do.
SELECT f.paused_at, f.reason, f.paused_by, coalesce((
    SELECT json_agg(crew) FROM (
        SELECT kind, knows, encoders AS hardware, schema_version, trouble IS NULL AS is_well, asked_to_stop_at IS NOT NULL AS is_leaving,
               count(*) AS workers
        FROM workers
        WHERE seen_at BETWEEN now() - make_interval(secs => :silent_seconds) AND now() + interval '1 minute'
        GROUP BY kind, knows, encoders, schema_version, is_well, is_leaving
    ) crew
), '[]') AS crews
FROM fleet f
