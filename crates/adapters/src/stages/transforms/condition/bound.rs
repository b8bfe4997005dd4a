//! What a condition may cost. CEL always ends, but loops in one another (`all`, `exists`, `exists_one`, `map`, `filter`) take as many steps as the product of what they go over.
//!
//! A part with loops has a degree d, such that it takes at most about n^d steps for n bytes of the fields it reads: a loop whose body looks only at its own element adds nothing (each
//! byte is looked at once), one whose body looks at other variables too multiplies. It is asked only while n^d is at most [`STEPS`].

use std::collections::BTreeSet;

use cel::common::ast::{EntryExpr, Expr, IdedExpr};

/// Steps of one part for one record.
const STEPS: u64 = 10_000_000;

/// The highest degree: what is above leaves no room for any field.
const HIGHEST: u32 = 4;

/// Most levels of an expression in one another. The parser bounds brackets; chains such as `a + a + a` it does not.
const DEEPEST: u32 = 200;

/// Is it within all bounds that do not depend on records?
///
/// # Errors
/// A sentence.
pub(super) fn check(expression: &IdedExpr) -> Result<(), String> {
    if depth(expression) > DEEPEST {
        return Err(format!(
            "the condition has more than {DEEPEST} operations in one another; use `in [..]` for long lists of values"
        ));
    }
    if degree(expression) > HIGHEST {
        return Err(format!(
            "the condition has more than {HIGHEST} loops (all, exists, map, filter) in one another"
        ));
    }
    Ok(())
}

/// How many bytes of fields a part of this degree may read.
pub(super) fn most_bytes(degree: u32) -> usize {
    let within = |n: &u64| n.checked_pow(degree).is_some_and(|steps| steps <= STEPS);
    if degree <= 1 {
        return usize::MAX;
    }
    // The largest n with n^d <= STEPS; d is at least 2, so there are few to try.
    let (mut low, mut high) = (1_u64, 1 << 24);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if within(&middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    usize::try_from(low).unwrap_or(usize::MAX)
}

/// The degree of a part.
pub(super) fn degree(expression: &IdedExpr) -> u32 {
    match &expression.expr {
        Expr::Comprehension(loops) => {
            let body = [&loops.loop_cond, &loops.loop_step, &loops.result];
            let inside = body.into_iter().map(degree).max().unwrap_or(0);
            let range = degree(&loops.iter_range).max(degree(&loops.accu_init));
            let mut others = BTreeSet::new();
            for part in body {
                free(part, &mut others);
            }
            others.remove(loops.iter_var.as_str());
            others.remove(loops.accu_var.as_str());
            if let Some(second) = &loops.iter_var2 {
                others.remove(second.as_str());
            }
            if others.is_empty() {
                inside.max(range)
            } else {
                inside.saturating_add(range)
            }
        }
        Expr::Ident(_) => 1,
        _ => children(expression)
            .into_iter()
            .map(degree)
            .max()
            .unwrap_or(0),
    }
}

fn depth(expression: &IdedExpr) -> u32 {
    // Not by recursion: this is what bounds recursion.
    let mut level = vec![expression];
    let mut levels = 0_u32;
    while !level.is_empty() && levels <= DEEPEST {
        levels = levels.saturating_add(1);
        level = level.into_iter().flat_map(children).collect();
    }
    levels
}

/// The variables that a part uses and does not make itself.
pub(super) fn free<'e>(expression: &'e IdedExpr, into: &mut BTreeSet<&'e str>) {
    match &expression.expr {
        Expr::Ident(name) => {
            into.insert(name);
        }
        Expr::Comprehension(loops) => {
            let mut inside = BTreeSet::new();
            for part in [&loops.loop_cond, &loops.loop_step, &loops.result] {
                free(part, &mut inside);
            }
            inside.remove(loops.iter_var.as_str());
            inside.remove(loops.accu_var.as_str());
            if let Some(second) = &loops.iter_var2 {
                inside.remove(second.as_str());
            }
            into.extend(inside);
            free(&loops.iter_range, into);
            free(&loops.accu_init, into);
        }
        _ => {
            for child in children(expression) {
                free(child, into);
            }
        }
    }
}

/// The parts right below.
fn children(expression: &IdedExpr) -> Vec<&IdedExpr> {
    match &expression.expr {
        Expr::Call(call) => call
            .target
            .iter()
            .map(AsRef::as_ref)
            .chain(&call.args)
            .collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|e| parts(&e.expr)).collect(),
        Expr::Struct(made) => made.entries.iter().flat_map(|e| parts(&e.expr)).collect(),
        Expr::Comprehension(loops) => vec![
            &loops.iter_range,
            &loops.accu_init,
            &loops.loop_cond,
            &loops.loop_step,
            &loops.result,
        ],
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn parts(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

/// Calls a variable by another name.
pub(super) fn rename(expression: &mut IdedExpr, from: &str, to: &str) {
    match &mut expression.expr {
        Expr::Ident(name) if name == from => to.clone_into(name),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => (),
        Expr::Call(call) => {
            let target = call.target.iter_mut().map(AsMut::as_mut);
            target
                .chain(&mut call.args)
                .for_each(|part| rename(part, from, to));
        }
        Expr::Select(select) => rename(&mut select.operand, from, to),
        Expr::List(list) => list
            .elements
            .iter_mut()
            .for_each(|part| rename(part, from, to)),
        Expr::Map(map) => map
            .entries
            .iter_mut()
            .for_each(|entry| rename_in(&mut entry.expr, from, to)),
        Expr::Struct(made) => made
            .entries
            .iter_mut()
            .for_each(|entry| rename_in(&mut entry.expr, from, to)),
        Expr::Comprehension(loops) => {
            for part in [
                &mut loops.iter_range,
                &mut loops.accu_init,
                &mut loops.loop_cond,
                &mut loops.loop_step,
                &mut loops.result,
            ] {
                rename(part, from, to);
            }
            for name in [&mut loops.iter_var, &mut loops.accu_var] {
                if name == from {
                    to.clone_into(name);
                }
            }
        }
    }
}

fn rename_in(entry: &mut EntryExpr, from: &str, to: &str) {
    match entry {
        EntryExpr::StructField(field) => rename(&mut field.value, from, to),
        EntryExpr::MapEntry(entry) => {
            rename(&mut entry.key, from, to);
            rename(&mut entry.value, from, to);
        }
    }
}
