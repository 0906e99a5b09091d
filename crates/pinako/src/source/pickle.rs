//! Python pickles, read as data.
//!
//! A pickle is a program for a small stack machine, and two of its instructions call any Python function there is.
//! This machine calls nothing: it knows the few calls by which numpy puts an array, a type or a scalar together, and
//! plain objects of a class that the caller names, and keeps what they were given. Any other call is an error that
//! says what would have been called. (Libraries that drop unknown calls also drop which class or type a thing is of,
//! and expand what a pickle repeats, which a small file can do without end.)
//!
//! Values stand in one list and refer to each other by their place in it, so that nothing recurses, what is shared is
//! kept once and a circle does no harm. Long byte strings are not read but remembered by where they stand, so that a
//! batch of images is a few values whatever its size.
//!
//! Instructions: protocols 2 to 5 of <https://docs.python.org/3/library/pickle.html>, described in Python's
//! `pickletools.py`.

use std::collections::HashMap;
use std::io::{BufRead, Seek};

use super::array::{Element, Order};
use crate::error::{Error, Result};

/// Most values and instructions of a pickle: ten times those of the largest CIFAR batch.
const MAX_STEPS: usize = 1 << 21;
/// Longest byte string that is kept; longer ones are remembered by their place.
const MAX_KEPT: u64 = 512;
/// Most bytes of strings that are kept altogether.
const MAX_KEPT_TOTAL: u64 = 64 << 20;

const DAMAGED_OR_OTHER: &str =
    "the file is damaged, or holds more than images: fetch it again, or store the images by numpy.save";

/// A value's place in its pickle.
pub(super) type Ref = u32;

/// What a pickle is made of.
#[derive(Debug)]
pub(super) enum Value {
    None,
    Int(i64),
    /// A number with a fraction: none of ours is one.
    Float,
    /// A string, of bytes or characters.
    Text(Box<[u8]>),
    /// A long string of bytes or characters.
    Blob(Blob),
    List(Vec<Ref>),
    Tuple(Vec<Ref>),
    Dict(Vec<(Ref, Ref)>),
    /// A function or class: `module.name`.
    Global(Box<str>),
    /// A numpy type.
    Type(Option<(Element, Order)>),
    /// A numpy array; `None` until its state is set.
    Array(Option<Box<Array>>),
    /// An object of a class that was allowed, and its attributes.
    Object(Option<Ref>),
}

/// Where a long byte string stands in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blob {
    pub(super) at: u64,
    pub(super) length: u64,
}

/// A numpy array in C order.
#[derive(Debug)]
pub(super) struct Array {
    pub(super) shape: Vec<u64>,
    pub(super) element: Element,
    /// The value that holds its bytes.
    pub(super) data: Ref,
}

/// A pickle's values.
#[derive(Debug)]
pub(super) struct Pickle {
    values: Vec<Value>,
    root: Ref,
}

impl Pickle {
    /// Reads a pickle of at most `length` bytes; objects are read of those classes only whose names (without their
    /// module's) are among `classes`.
    ///
    /// # Errors
    /// `Corrupt` where it is none or ends early; `Unsupported` where it calls what is not known.
    pub(super) fn read(input: &mut (impl BufRead + Seek), length: u64, classes: &[&str]) -> Result<Self> {
        let mut machine = Machine {
            input,
            at: 0,
            length,
            classes,
            values: Vec::new(),
            kept: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        match machine.input.fill_buf().map_err(|error| Error::io("cannot read the pickle", error))?.first() {
            Some(0x80) | None => {}
            Some(first) => {
                return Err(Error::unsupported(format!(
                    "no pickle of protocol 2 to 5: it starts with {first:#04x}, not 0x80"
                ))
                .with_hint("if it is a pickle of protocol 0 or 1, write it anew: pickle.dump(..., protocol=4)"));
            }
        }
        for _ in 0..MAX_STEPS {
            if let Some(root) = machine.step()? {
                return Ok(Pickle { values: machine.values, root });
            }
        }
        Err(Error::unsupported(format!("the pickle has more than {MAX_STEPS} instructions")))
    }

    /// The value at `place`.
    pub(super) fn value(&self, place: Ref) -> &Value {
        self.values.get(place as usize).unwrap_or(&Value::None)
    }

    /// The value that the pickle is.
    pub(super) fn root(&self) -> &Value {
        self.value(self.root)
    }

    /// The value of `key` where `dict` is a dictionary that has it.
    pub(super) fn get(&self, dict: &Value, key: &str) -> Option<&Value> {
        let Value::Dict(pairs) = dict else { return None };
        let (_, value) = pairs.iter().find(|(name, _)| self.value(*name).text() == Some(key.as_bytes()))?;
        Some(self.value(*value))
    }

    /// The attribute `key` of an object.
    pub(super) fn attribute(&self, object: &Value, key: &str) -> Option<&Value> {
        let Value::Object(Some(state)) = object else { return None };
        self.get(self.value(*state), key)
    }
}

impl Value {
    /// The bytes of a short string.
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Value::Text(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The places of the values in a list or tuple.
    pub(super) fn items(&self) -> Option<&[Ref]> {
        match self {
            Value::List(items) | Value::Tuple(items) => Some(items),
            _ => None,
        }
    }
}

/// The stack machine.
struct Machine<'a, R> {
    input: &'a mut R,
    /// Bytes read so far.
    at: u64,
    length: u64,
    classes: &'a [&'a str],
    values: Vec<Value>,
    /// Bytes of the strings among the values.
    kept: u64,
    stack: Vec<Ref>,
    /// Heights of the stack where a mark was set.
    marks: Vec<usize>,
    memo: HashMap<u32, Ref>,
}

impl<R: BufRead + Seek> Machine<'_, R> {
    /// Does one instruction; the last one gives the value of the pickle.
    fn step(&mut self) -> Result<Option<Ref>> {
        match self.byte()? {
            b'.' => return self.pop().map(Some),
            0x80 => match self.byte()? {
                2..=5 => {}
                protocol => return Err(Error::unsupported(format!("a pickle of protocol {protocol}, not 2 to 5"))),
            },
            0x95 => drop(self.take::<8>()?), // FRAME: only a hint
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Int(1)),
            0x89 => self.push(Value::Int(0)),
            b'J' => self.take().map(|bytes| self.push(Value::Int(i32::from_le_bytes(bytes).into())))?,
            b'K' => self.byte().map(|byte| self.push(Value::Int(byte.into())))?,
            b'M' => self.take().map(|bytes| self.push(Value::Int(u16::from_le_bytes(bytes).into())))?,
            0x8a => self.long()?,
            b'G' => {
                self.take::<8>()?;
                self.push(Value::Float);
            }
            b'U' | b'C' | 0x8c => {
                let length = self.byte()?;
                self.string(length.into())?;
            }
            b'T' | b'B' | b'X' => {
                let length = u32::from_le_bytes(self.take()?);
                self.string(length.into())?;
            }
            0x8d | 0x8e | 0x96 => {
                let length = u64::from_le_bytes(self.take()?);
                self.string(length)?;
            }
            b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend(vec![key, value])?;
            }
            b'e' | b'u' => {
                let items = self.pop_mark()?;
                self.extend(items)?;
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items));
            }
            count @ 0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(count - 0x84)).ok_or_else(damaged)?;
                let items = self.stack.split_off(from);
                self.push(Value::Tuple(items));
            }
            b'q' => {
                let key = self.byte()?;
                self.memoize(key.into())?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.take()?);
                self.memoize(key)?;
            }
            0x94 => self.memoize(self.memo.len() as u32)?,
            b'h' => {
                let key = self.byte()?;
                self.recall(key.into())?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.take()?);
                self.recall(key)?;
            }
            b'c' => {
                let name = format!("{}.{}", self.line()?, self.line()?);
                self.keep(name.len() as u64)?;
                self.push(Value::Global(name.into()));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let name = format!("{}.{}", self.word(module)?, self.word(name)?);
                self.keep(name.len() as u64)?;
                self.push(Value::Global(name.into()));
            }
            b'R' => {
                let arguments = self.pop()?;
                let function = self.pop()?;
                let value = self.call(function, arguments)?;
                self.push(value);
            }
            0x81 => {
                self.pop()?;
                let class = self.pop()?;
                let class = self.global(class)?;
                let name = class.rsplit('.').next().unwrap_or_default();
                if !self.classes.contains(&name) {
                    return Err(forbidden(class));
                }
                self.push(Value::Object(None));
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                self.build(object, state)?;
            }
            other => {
                return Err(Error::unsupported(format!(
                    "at byte {} stands the instruction {other:#04x}, which is none of a pickle that holds images only",
                    self.at - 1
                ))
                .with_hint(DAMAGED_OR_OTHER));
            }
        }
        Ok(None)
    }

    /// What a call of `function` makes: one of numpy's, or an error.
    fn call(&self, function: Ref, arguments: Ref) -> Result<Value> {
        let function = self.global(function)?;
        let Value::Tuple(arguments) = self.value(arguments) else { return Err(damaged()) };
        // numpy 2 moved numpy.core to numpy._core.
        match (&*function.replace("numpy._core.", "numpy.core."), &arguments[..]) {
            ("numpy.core.multiarray._reconstruct", _) => Ok(Value::Array(None)),
            ("numpy.dtype", [name, ..]) => {
                let name = self.word(*name)?;
                let element = Element::from_numpy(name).ok_or_else(|| not_numbers(name))?;
                Ok(Value::Type(Some((element, Order::Little))))
            }
            ("numpy.core.multiarray.scalar", &[kind, bytes]) => {
                let (Value::Type(Some((element, order))), Value::Text(bytes)) = (self.value(kind), self.value(bytes))
                else {
                    return Err(damaged());
                };
                element.integer(bytes, *order).map(Value::Int)
            }
            ("numpy.core.numeric._frombuffer", &[data, kind, shape, order]) => {
                let fortran = self.word(order)? != "C";
                Ok(Value::Array(Some(Box::new(self.array(shape, kind, fortran, data)?))))
            }
            _ => Err(forbidden(function)),
        }
    }

    /// Sets the state of `object`.
    fn build(&mut self, object: Ref, state: Ref) -> Result<()> {
        let new = match (self.value(object), self.value(state)) {
            // (version, shape, type, whether in Fortran order, bytes)
            (Value::Array(_), Value::Tuple(state)) => match state[..] {
                [_, shape, kind, fortran, data] => {
                    let fortran = !matches!(self.value(fortran), Value::Int(0));
                    Value::Array(Some(Box::new(self.array(shape, kind, fortran, data)?)))
                }
                _ => return Err(damaged()),
            },
            // (version, byte order, ...)
            (Value::Type(Some((element, _))), Value::Tuple(state)) => match state[..] {
                [_, order, ..] => {
                    let order = if self.word(order)? == ">" { Order::Big } else { Order::Little };
                    Value::Type(Some((*element, order)))
                }
                _ => return Err(damaged()),
            },
            (Value::Object(_), Value::Dict(_)) => Value::Object(Some(state)),
            _ => return Err(damaged()),
        };
        self.values[object as usize] = new;
        Ok(())
    }

    fn array(&self, shape: Ref, kind: Ref, fortran: bool, data: Ref) -> Result<Array> {
        let (Value::Tuple(shape), Value::Type(Some((element, _)))) = (self.value(shape), self.value(kind)) else {
            return Err(damaged());
        };
        let side = |&side: &Ref| match self.value(side) {
            Value::Int(side) => u64::try_from(*side).map_err(|_| damaged()),
            _ => Err(damaged()),
        };
        let shape: Vec<u64> = shape.iter().map(side).collect::<Result<_>>()?;
        if fortran && shape.len() > 1 {
            return Err(
                Error::unsupported("an array in Fortran order").with_hint("store numpy.ascontiguousarray of it")
            );
        }
        Ok(Array { shape, element: *element, data })
    }

    fn long(&mut self) -> Result<()> {
        let count = usize::from(self.byte()?);
        let mut bytes = [0; 8];
        let Some(digits) = bytes.get_mut(..count) else {
            return Err(Error::unsupported(format!(
                "at byte {} starts a whole number of {count} bytes, more than the 8 that any label has",
                self.at
            ))
            .with_hint(DAMAGED_OR_OTHER));
        };
        for digit in &mut *digits {
            *digit = self.byte()?;
        }
        let negative = count > 0 && bytes[count - 1] & 0x80 != 0;
        if negative {
            bytes[count..].fill(0xff);
        }
        self.push(Value::Int(i64::from_le_bytes(bytes)));
        Ok(())
    }

    fn string(&mut self, length: u64) -> Result<()> {
        if length > self.length.saturating_sub(self.at) {
            return Err(Error::corrupt(format!(
                "the pickle is cut off: at byte {} starts a string of {length} bytes, but there are {} in all",
                self.at, self.length
            )));
        }
        if length > MAX_KEPT {
            self.push(Value::Blob(Blob { at: self.at, length }));
            let cannot = |error| Error::io("cannot read the pickle", error);
            self.input.seek_relative(i64::try_from(length).map_err(|_| damaged())?).map_err(cannot)?;
            self.at += length;
            return Ok(());
        }
        self.keep(length)?;
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        self.push(Value::Text(bytes.into()));
        Ok(())
    }

    /// Counts a string of `length` bytes that is kept.
    fn keep(&mut self, length: u64) -> Result<()> {
        self.kept += length;
        if self.kept > MAX_KEPT_TOTAL {
            return Err(Error::unsupported(format!("the pickle has more than {MAX_KEPT_TOTAL} bytes of strings")));
        }
        Ok(())
    }

    /// Adds `items` to the list or, two by two, to the dictionary on top of the stack.
    fn extend(&mut self, items: Vec<Ref>) -> Result<()> {
        let top = self.top()?;
        match self.values.get_mut(top as usize) {
            Some(Value::List(list)) => list.extend(items),
            Some(Value::Dict(pairs)) => pairs.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            _ => return Err(damaged()),
        }
        Ok(())
    }

    fn memoize(&mut self, key: u32) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<()> {
        let value = *self.memo.get(&key).ok_or_else(damaged)?;
        self.stack.push(value);
        Ok(())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len() as Ref);
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Ref> {
        self.stack.pop().ok_or_else(damaged)
    }

    fn top(&self) -> Result<Ref> {
        self.stack.last().copied().ok_or_else(damaged)
    }

    fn pop_mark(&mut self) -> Result<Vec<Ref>> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or_else(damaged)?;
        Ok(self.stack.split_off(mark))
    }

    fn value(&self, place: Ref) -> &Value {
        &self.values[place as usize]
    }

    fn global(&self, place: Ref) -> Result<&str> {
        match self.value(place) {
            Value::Global(name) => Ok(name),
            _ => Err(damaged()),
        }
    }

    fn word(&self, place: Ref) -> Result<&str> {
        match self.value(place) {
            Value::Text(bytes) => std::str::from_utf8(bytes).map_err(|_| damaged()),
            _ => Err(damaged()),
        }
    }

    fn byte(&mut self) -> Result<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.input
            .read_exact(bytes)
            .map_err(|error| Error::io(format!("the pickle is cut off at byte {}", self.at), error))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// A module's or function's name, up to the end of the line.
    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return String::from_utf8(line).map_err(|_| damaged()),
                byte if line.len() < MAX_KEPT as usize => line.push(byte),
                _ => return Err(damaged()),
            }
        }
    }
}

fn damaged() -> Error {
    Error::corrupt("the pickle is damaged")
}

fn not_numbers(name: &str) -> Error {
    Error::unsupported(format!("a numpy array of type {name:?}, which is no number that a sample can be"))
}

fn forbidden(function: &str) -> Error {
    let hint = match function {
        "_codecs.encode" => "Python 3 writes bytes so in protocol 2: write it anew: pickle.dump(..., protocol=4)",
        _ => "do not open this file in Python unless you know where it is from",
    };
    Error::unsupported(format!("the pickle calls {function}, which images have no need of; it was not run"))
        .with_hint(hint)
}

#[cfg(test)]
mod tests;
