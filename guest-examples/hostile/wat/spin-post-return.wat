;; Answers, then never finishes cleaning up.
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
  (func (export "cabi_post_weir:plugin/pipe@0.1.0#run") (param i32) (loop $again (br $again)))
)
