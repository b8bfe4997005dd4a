;; Wants four memories, each within the limit, together over it.
;; exports: lifecycle pipe
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include describe
  ;; include init
  ;; include start
  ;; include stop
  ;; include run
  (memory $m2 1600)
  (memory $m3 1600)
  (memory $m4 1600)
)
