package redisqueue

import "context"

const intakeGroup = "w"

func (e *Engine) takeIn(context.Context) error { return nil }
