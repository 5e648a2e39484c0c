"""Tell people who are not looking: messages by the policy's classes, sent through apprise."""
