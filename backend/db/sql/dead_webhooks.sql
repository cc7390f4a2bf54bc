-- How many messages to webhooks were given up and not sent again since.
SELECT count(*) FROM webhook_messages WHERE gave_up_at IS NOT NULL
