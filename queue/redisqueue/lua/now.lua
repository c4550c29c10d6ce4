-- It returns the time in microseconds.
return now
