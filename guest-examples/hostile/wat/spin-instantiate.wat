;; Never leaves its start function, so no instance is ever made.
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
  (func $spin (loop $again (br $again)))
  (start $spin)
)
