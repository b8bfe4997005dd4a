;; Never says which models it has.
;; exports: lifecycle pipe manifold
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include describe
  ;; include init
  ;; include start
  ;; include stop
  ;; include run
  (func (export "weir:plugin/manifold@0.1.0#models") (result i32) (loop $again (br $again)) (unreachable))
)
