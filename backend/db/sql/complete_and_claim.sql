-- Completes the chunk in hand and claims the next: one commit and one round trip where a busy worker would take two.
-- Nothing is claimed by who lost the chunk in hand. Both parts see the state from before, in which the chunk in hand is
-- still in work: it does not count against its tenant's cap.
WITH finished AS (
-- @complete_chunk
),
-- @claiming+finishing
SELECT finished.detector_unknown, finished.on_probation, finished.more_queued, claimed.*
FROM finished LEFT JOIN claimed ON true
