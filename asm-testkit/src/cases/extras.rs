//! What a session does besides: `Off`, discard, `once`, `transact`, policies, `keep_alive`.
