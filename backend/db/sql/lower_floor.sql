-- A chunk was queued: its lane's floor goes down to it, in the transaction that queued it.
-- Race: a refresh raises the floor just now and does not see the chunk yet. Both lock the lane's row. If the refresh is
-- first, this statement lowers what it wrote; if this one is first, the refresh looks after the commit and sees the
-- chunk. So the row is written even where the floor is low enough already. A lane is the last thing that is locked.
UPDATE queue_lanes SET floor_rank = least(floor_rank, :rank) WHERE deep_mode = :deep_mode AND tenant = :tenant
