package queue

import (
	_ "github.com/google/uuid"
	_ "modernc.org/sqlite"
)
