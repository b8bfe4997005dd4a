;; Wants 1 GiB of memory from the start.
;; exports: lifecycle pipe
(module
  ;; include reply
  ;; include realloc
  ;; include describe
  ;; include init
  ;; include start
  ;; include stop
  ;; include run
  (memory (export "memory") 16384)
)
